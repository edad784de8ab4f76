/** The topologies by name. The registry in src/decide/topology has exactly these; the compiler compares. */
export const topologyNames = ['bridge', 'route', 'nat', 'openvswitch'] as const;

export type TopologyName = (typeof topologyNames)[number];

/** The topology a stock script stands for by its file name, whose directory does not matter; undefined for any other script. */
export const stockTopology = (script = ''): TopologyName | undefined =>
  topologyNames.find((name) => script.slice(script.lastIndexOf('/') + 1) === `vif-${name}`);
