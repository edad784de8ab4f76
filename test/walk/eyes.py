"""What the kernel has in one network namespace, and what other namespaces reach, asked for line by line.

eyes.py <namespace>   answers each line of JSON on stdin with one on stdout:
  {"do": "snapshot"}             links, addresses, routes, neighbours, proxies, nftables, sysctls and dnsmasqs
  {"do": "events"}               the link notifications since they were asked for last
  {"do": "traffic"}              how many notifications of any kind came since that was asked last
  {"do": "probe", "ms": N, "probes": [...]}   echo requests and DHCP discovers, all at once

It speaks netlink itself: a process for each table would cost more than all the rest of a step.
"""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, SO_RCVBUFFORCE = 270, 1, 33
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 1, 0x300, 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def namespace(name):
    return os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def attributes(data, at=0):
    """The attributes of a message by type; of one that comes more than once the last."""
    found = {}
    end = len(data)
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def each(data, at=0):
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def text(value):
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")


def u32(value):
    return struct.unpack("=I", value[:4])[0]


def address(value):
    if len(value) == 4:
        return socket.inet_ntop(socket.AF_INET, value)
    return socket.inet_ntop(socket.AF_INET6, value) if len(value) == 16 else value.hex()


class Netlink:
    def __init__(self, protocol):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.bind((0, 0))
        self.sequence = 0

    def dump(self, kind, body):
        """All messages of a table, read again when it changed meanwhile."""
        for _ in range(20):
            self.sequence += 1
            head = struct.pack(
                "=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, self.sequence, 0
            )
            self.socket.send(head + body)
            messages, whole, done = [], True, False
            while not done:
                data = self.socket.recv(1 << 18)
                at = 0
                while at + 16 <= len(data):
                    length, got, flags, sequence, _ = struct.unpack_from("=IHHII", data, at)
                    payload = data[at + 16 : at + length]
                    at += (length + 3) & ~3
                    if sequence != self.sequence:
                        continue
                    whole = whole and not flags & NLM_F_DUMP_INTR
                    if got == NLMSG_DONE:
                        done = True
                    elif got == NLMSG_ERROR:
                        code = -struct.unpack_from("=i", payload)[0]
                        if code == 0:
                            continue
                        # What was dumped has just gone, or changed under the dump (EINTR).
                        return [] if code == 2 else self.again(code)
                    else:
                        messages.append(payload)
            if whole:
                return messages
        raise OSError("a table that never stands still")

    def again(self, code):
        raise OSError(code, os.strerror(code))


class Monitor:
    """Notifications of some groups."""

    def __init__(self, protocol, groups):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.bind((0, 0))
        for group in groups:
            self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        self.socket.setblocking(False)

    def drain(self):
        while True:
            try:
                data = self.socket.recv(1 << 18)
            except BlockingIOError:
                return
            at = 0
            while at + 16 <= len(data):
                length, kind, _, _, _ = struct.unpack_from("=IHHII", data, at)
                yield kind, data[at + 16 : at + length]
                at += (length + 3) & ~3


# IFLA_BRPORT_*; the state follows from the carrier.
PORT_SETTINGS = {*range(2, 13), 17, 18, *range(25, 28), *range(30, 37)}


def link_of(payload):
    family, _, index, flags = struct.unpack_from("=BxHiI", payload)
    found = attributes(payload, 16)
    info = attributes(found.get(18, b""))
    port = attributes(info.get(5, b""))
    return family, {
        "index": index,
        "name": text(found.get(3, b"")),
        "flags": flags,
        "mtu": u32(found[4]) if 4 in found else 0,
        "mac": found.get(1, b"").hex(":"),
        "master": u32(found[10]) if 10 in found else 0,
        "alias": text(found.get(20, b"")),
        "qlen": u32(found[13]) if 13 in found else 0,
        "kind": text(info.get(1, b"")),
        "port": " ".join(f"{k}={v.hex()}" for k, v in sorted(port.items()) if k in PORT_SETTINGS),
    }


def links(route):
    return [link_of(payload)[1] for payload in route.dump(18, struct.pack("=BxHiII", 0, 0, 0, 0, 0))]


def addresses(route):
    rows = []
    for payload in route.dump(22, struct.pack("=BBBBi", 0, 0, 0, 0, 0)):
        family, prefix, _, scope, index = struct.unpack_from("=BBBBi", payload)
        found = attributes(payload, 8)
        rows.append({"dev": index, "address": f"{address(found.get(2, found.get(1, b'')))}/{prefix}", "scope": scope})
    return rows


def routes(route):
    rows = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for payload in route.dump(26, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, protocol, scope, kind, _ = struct.unpack_from("=BBBBBBBBI", payload)
            found = attributes(payload, 12)
            zero = b"\0" * (4 if family == socket.AF_INET else 16)
            rows.append(
                {
                    "to": f"{address(found.get(1, zero))}/{length}",
                    "dev": u32(found[4]) if 4 in found else 0,
                    "table": u32(found[15]) if 15 in found else table,
                    "protocol": protocol,
                    "scope": scope,
                    "type": kind,
                    "metric": u32(found[6]) if 6 in found else 0,
                    "source": address(found[7]) if 7 in found else "",
                    "gateway": address(found[5]) if 5 in found else "",
                }
            )
    return rows


NUD_PERMANENT, NTF_PROXY = 0x80, 8


def neighbours(route, flags):
    rows = []
    for payload in route.dump(30, struct.pack("=BxHiHBB", 0, 0, 0, 0, flags, 0)):
        _, index, state, has, _ = struct.unpack_from("=BxxxiHBB", payload)
        found = attributes(payload, 12)
        if flags == NTF_PROXY or state == NUD_PERMANENT:
            rows.append({"dev": index, "address": address(found.get(1, b"")), "mac": found.get(2, b"").hex(":")})
    return rows


def comment(userdata):
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at], userdata[at + 1]
        if kind == 0:
            return text(userdata[at + 2 : at + 2 + length])
        at += 2 + length
    return ""


def packets(expressions):
    """What the counters in a list of expressions counted."""
    if b"counter\0" not in expressions:
        return 0
    total = 0
    for _, one in each(expressions):
        found = attributes(one)
        if text(found.get(1, b"")) == "counter":
            total += struct.unpack(">Q", attributes(found[2])[2])[0]
    return total


FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


def nft_dump(nft, kind, family=0, body=b""):
    return nft.dump((10 << 8) | kind, struct.pack("=BBH", family, 0, 0) + body)


def nfattr(kind, value):
    data = value.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def ruleset(nft):
    tables, chains, rules, sets = [], [], [], []
    for payload in nft_dump(nft, 1):
        found = attributes(payload, 4)
        flags = struct.unpack(">I", found[2])[0]
        name = f"{FAMILIES.get(payload[0], payload[0])} {text(found[1])}"
        tables.append({"table": name, "dormant": bool(flags & 1), "owned": bool(flags & 2)})
    for payload in nft_dump(nft, 4):
        found = attributes(payload, 4)
        hook = attributes(found.get(4, b""))
        devices = [text(hook[3])] if 3 in hook else [text(d) for _, d in each(hook.get(4, b""))]
        chains.append(
            {
                "table": f"{FAMILIES.get(payload[0], payload[0])} {text(found[1])}",
                "chain": text(found[3]),
                "handle": struct.unpack(">Q", found[2])[0],
                "policy": struct.unpack(">I", found[5])[0] if 5 in found else -1,
                "devices": devices,
            }
        )
    for payload in nft_dump(nft, 7):
        found = attributes(payload, 4)
        rules.append(
            {
                "table": f"{FAMILIES.get(payload[0], payload[0])} {text(found[1])}",
                "chain": text(found[2]),
                "handle": struct.unpack(">Q", found[3])[0],
                "comment": comment(found.get(7, b"")),
                "packets": packets(found.get(4, b"")),
            }
        )
    for payload in nft_dump(nft, 10):
        found = attributes(payload, 4)
        if found.get(3) is not None and struct.unpack(">I", found[3])[0] & 1:
            continue  # anonymous
        table, name = text(found[1]), text(found[2])
        elements = []
        for part in nft_dump(nft, 13, payload[0], nfattr(1, table) + nfattr(2, name)):
            for _, element in each(attributes(part, 4).get(3, b"")):
                inner = attributes(element)
                key = attributes(inner.get(1, b"")).get(1, b"")
                counted = packets(struct.pack("=HH", 4 + len(inner[7]), 1) + inner[7]) if 7 in inner else 0
                elements.append({"key": key.hex(), "comment": comment(inner.get(6, b"")), "packets": counted})
        sets.append(
            {"table": f"{FAMILIES.get(payload[0], payload[0])} {table}", "set": name, "elements": elements}
        )
    return {"tables": tables, "chains": chains, "rules": rules, "sets": sets}


SYSCTLS = [
    *[f"ipv4/conf/{{}}/{key}" for key in ("forwarding", "proxy_arp", "accept_redirects")],
    "ipv4/neigh/{}/proxy_delay",
    *[f"ipv6/conf/{{}}/{key}" for key in ("forwarding", "accept_ra", "proxy_ndp", "disable_ipv6")],
]


def sysctls(devices):
    values = {}
    for device in ["all", *devices]:
        for pattern in SYSCTLS:
            name = pattern.format(device)
            try:
                with open(f"/proc/sys/net/{name}", encoding="ascii") as file:
                    values[f"net/{name}"] = file.read().strip()
            except OSError:
                # Its device went, before it was opened or before it was read.
                continue
    return values


def dnsmasqs(directory):
    """The pids of the dnsmasqs that have their files there."""
    pids = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/comm", "rb") as file:
                if file.read() != b"dnsmasq\n":
                    continue
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if directory.encode() in file.read():
                    pids.append(int(entry))
        except OSError:
            pass
    return pids


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def family_of(probe):
    return socket.AF_INET6 if ":" in probe["to"] else socket.AF_INET


class Prober:
    """Echo requests out of many namespaces, by one raw socket of each family in each."""

    def __init__(self, home):
        self.home = home
        self.sockets = {}
        self.sequence = 0

    def within(self, name, make):
        fd = namespace(name)
        try:
            enter(fd)
            return make()
        finally:
            enter(self.home)
            os.close(fd)

    def echo_socket(self, name, family):
        if (name, family) not in self.sockets:

            def make():
                if family == socket.AF_INET:
                    raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP)
                    raw.setsockopt(255, 1, struct.pack("=I", ~1 & 0xFFFFFFFF))  # ICMP_FILTER: echo replies only
                else:
                    raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
                    blocked = [0xFFFFFFFF] * 8  # ICMP6_FILTER, a bit for each type that does not come
                    blocked[129 >> 5] &= ~(1 << (129 & 31))
                    raw.setsockopt(socket.IPPROTO_ICMPV6, 1, struct.pack("=8I", *blocked))
                raw.setblocking(False)
                return raw

            self.sockets[name, family] = self.within(name, make)
        return self.sockets[name, family]

    def dhcp_socket(self, name, device):
        def make():
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
            udp.bind(("0.0.0.0", 68))
            udp.setblocking(False)
            return udp

        return self.within(name, make)

    def send_echo(self, probe):
        self.sequence = self.sequence % 0xFFFF + 1
        family = family_of(probe)
        kind = 8 if family == socket.AF_INET else 128
        packet = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, self.sequence) + b"walk"
        source = socket.inet_pton(family, probe["from"]) if probe.get("from") else b"\0" * 16
        if family == socket.AF_INET:
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
            control = [(socket.IPPROTO_IP, 8, struct.pack("=i4s4s", 0, source[:4], b"\0" * 4))]  # IP_PKTINFO
        else:
            control = [(socket.IPPROTO_IPV6, 50, struct.pack("=16si", source, 0))]  # IPV6_PKTINFO
        try:
            self.echo_socket(probe["in"], family).sendmsg([packet], control, 0, (probe["to"], 0))
        except OSError:
            pass
        return self.sequence

    def send_dhcp(self, probe, udp):
        mac = bytes.fromhex(probe["mac"].replace(":", ""))
        discover = struct.pack("!BBBBIHH", 1, 1, 6, 0, probe["xid"], 0, 0x8000) + b"\0" * 16
        discover += mac + b"\0" * 10 + b"\0" * 192 + b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff"
        try:
            udp.sendto(discover.ljust(300, b"\0"), ("255.255.255.255", 67))
        except OSError:
            pass

    @staticmethod
    def offered(data):
        if len(data) < 244:
            return None
        at, router = 240, ""
        while at + 1 < len(data) and data[at] != 255:
            if data[at] == 3:
                router = socket.inet_ntoa(data[at + 2 : at + 6])
            at += 1 if data[at] == 0 else 2 + data[at + 1]
        return f"{socket.inet_ntoa(data[16:20])} {router}"

    def probe(self, probes, ms):
        """The numbers of the probes that were answered, with the answer: '' of an echo, an offer's address and router."""
        end = time.monotonic() + ms / 1000
        answered, sent, open_sockets = {}, {}, {}
        for at, probe in enumerate(probes):
            if probe["kind"] != "dhcp":
                continue
            probe["xid"] = 0x77000000 + at
            try:
                open_sockets[at] = self.dhcp_socket(probe["in"], probe["device"])
            except OSError:
                pass
        reader = {udp.fileno(): ("dhcp", at, udp) for at, udp in open_sockets.items()}
        poll = select.poll()
        for fd in reader:
            poll.register(fd, select.POLLIN)
        resend, grace = 0.0, None
        while True:
            now = time.monotonic()
            if now >= resend:
                for at, probe in enumerate(probes):
                    if at in answered or (resend > 0 and not probe["must"]):
                        continue
                    if probe["kind"] == "dhcp":
                        if at in open_sockets:
                            self.send_dhcp(probe, open_sockets[at])
                    else:
                        sent[self.send_echo(probe)] = at
                        raw = self.sockets.get((probe["in"], family_of(probe)))
                        if raw is not None and raw.fileno() not in reader:
                            reader[raw.fileno()] = ("echo", 0, raw)
                            poll.register(raw.fileno(), select.POLLIN)
                resend = now + 0.06
            waiting = any(probe["must"] and at not in answered for at, probe in enumerate(probes))
            if not waiting and grace is None:
                # What must not be answered has had the time of those that were; a little more for the last of them.
                grace = now + 0.006
            if now >= end or (grace is not None and now >= grace):
                break
            until = min(end, resend if waiting else end, grace or end)
            for fd, _ in poll.poll(max(0.5, (until - now) * 1000)):
                kind, at, sock = reader[fd]
                try:
                    while True:
                        data, origin = sock.recvfrom(2048)
                        if kind == "dhcp":
                            if len(data) > 8 and data[4:8] == struct.pack("!I", probes[at]["xid"]):
                                answered[at] = self.offered(data) or "?"
                            continue
                        # A socket of IPv6 gives no header (RFC 3542, 3).
                        header = (data[0] & 15) * 4 if sock.family == socket.AF_INET else 0
                        _, _, _, ident, sequence = struct.unpack_from("!BBHHH", data, header)
                        hit = sent.get(sequence)
                        if ident == os.getpid() & 0xFFFF and hit is not None and origin[0] == probes[hit]["to"]:
                            answered[hit] = ""
                except OSError:
                    pass
        for udp in open_sockets.values():
            udp.close()
        return {str(at): answer for at, answer in answered.items()}


def main():
    # A terminal interrupts all that it runs; this ends with the one that reads its answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name, directory = sys.argv[1:]
    home = namespace(name)
    enter(home)
    route, nft = Netlink(NETLINK_ROUTE), Netlink(NETLINK_NETFILTER)
    link_events = Monitor(NETLINK_ROUTE, [1])
    # RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE; NFNLGRP_NFTABLES. Of IPv6 duplicate address detection tells, seconds later.
    everything = [Monitor(NETLINK_ROUTE, [1, 5, 7]), Monitor(NETLINK_NETFILTER, [7])]
    prober = Prober(home)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "snapshot":
                found = links(route)
                answer = {
                    "links": found,
                    "addresses": addresses(route),
                    "routes": routes(route),
                    "neighbours": neighbours(route, 0),
                    "proxies": neighbours(route, NTF_PROXY),
                    **ruleset(nft),
                    "sysctls": sysctls([link["name"] for link in found]),
                    "dnsmasqs": dnsmasqs(directory),
                }
            elif request["do"] == "events":
                answer = []
                for kind, payload in link_events.drain():
                    family, link = link_of(payload)
                    if family == 0:
                        answer.append({"gone": kind == 17, **link})
            elif request["do"] == "traffic":
                answer = [sum(1 for _ in monitor.drain()) for monitor in everything]
            elif request["do"] == "probe":
                answer = prober.probe(request["probes"], request["ms"])
            else:
                answer = {"error": "unknown"}
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
