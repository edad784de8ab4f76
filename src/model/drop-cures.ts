/** What lets frames pass that are dropped for a reason of `src/model/nft.ts`, where the guest may be honest. */
const cures: Readonly<Record<string, string>> = {
  'source MAC':
    'the guest sends from another MAC address than its mac key: for VRRP or a bridge in it, add that to [[vif]] allow_macs',
  'VLAN tag':
    'the guest sends VLAN tags: give the vif these VLANs with vlan= or bridge=, if it is to have them',
  'ARP sender MAC': 'the guest names another MAC address than its mac key: add that to [[vif]] allow_macs',
  'ARP sender address': 'the guest uses an IPv4 address that is not in its ip key: add it to ip=',
  'IPv4 without an address':
    'the guest speaks IPv4 and its ip key has IPv6 only: add its IPv4 address to ip=',
  'IPv4 source': 'the guest uses an IPv4 address that is not in its ip key: add it to ip=',
  'IPv6 source':
    'the guest uses an IPv6 address that is not in its ip key: add it to ip=; for a link-local one that it makes itself (stable privacy) add that, or fe80::/10, to ip= or to [[vif]] allow',
  'IPv6 without an address':
    'the guest speaks IPv6 and its ip key has IPv4 only: add its IPv6 address to ip=, if it is to have IPv6',
  'neighbour discovery':
    'the guest tells of an IPv6 address that is not in its ip key, or of another MAC address: add the address to ip=',
  'control frame':
    'the guest speaks as a switch does (STP, LLDP, MVRP, CDP): [[vif]] control_frames = true, if it is one',
  'rate from guest': 'the guest sends more than from_guest of [[vif]] limit',
  'packets from guest': 'the guest sends more frames than packets of [[vif]] limit',
  'broadcast from guest': 'the guest sends more broadcast and multicast than broadcast of [[vif]] limit',
  'rate to guest': 'the guest is sent more than to_guest of [[vif]] limit',
  isolated:
    'it and the other guest are isolated: take [[vif]] isolated from one of the two, if they are to meet',
  'another group':
    'it and the other guest are not of one [[group]] whose members talk: put both in one, if they are to meet',
  'private network': 'it reaches no private networks: take [[vif]] lan = false out, if it is to',
  'too many requests':
    'it asks more than 100 names and addresses a second of the resolver here, or has more than 4 connections to it: let the guest ask a resolver elsewhere, or one of its own',
  'no other way out':
    'its packets have a route by a device that is not named for it: add that to [nat] uplink or to [[vif]] uplink, if it may leave by it',
};

/** What to do about packets that a vif's filter drops for this reason; undefined when only a guest that forges sends them. */
export const dropCure = (reason: string): string | undefined => cures[reason];
