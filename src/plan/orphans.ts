import type { IpAction } from '../model/action.js';
import { noIp } from '../model/ip.js';
import { type ObservedState, vifOfLink } from '../model/observed.js';
import { deleteProxy } from './proxy.js';

/** Deletes what has vifd's protocol number and belongs to no vif: proxy entries without an owner, routes to other devices. */
export function planOrphans({ links, ip = noIp }: ObservedState): IpAction[] {
  const ownerless = ip.routes.ours().filter(({ device }) => {
    const link = links.byIndex(device);
    return link !== undefined && vifOfLink(link) === undefined;
  });
  return [
    ...ownerless.map(
      ({ to, device }): IpAction => ({
        kind: 'delete-route',
        index: device,
        name: links.byIndex(device)?.name ?? `${device}`,
        to,
      }),
    ),
    ...ip.routes
      .proxies()
      .filter(({ owner }) => owner === undefined)
      .map((proxy) => deleteProxy(proxy, links)),
  ];
}
