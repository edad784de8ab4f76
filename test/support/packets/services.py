"""A server of TCP and UDP at some ports (`serve PORT…`), or a client that prints what of this is answered (`ask TARGET…`).

A target is tcp or udp, an address, with %device where it needs one, and a port: udp/224.0.0.1/53. The client prints for each
that was answered the addresses that answered. It listens for TIME seconds.
"""
import json, os, select, socket, sys, threading, time

wait = float(os.environ.get("TIME", "0.3"))


def serve(ports):
    datagrams = []
    for port in map(int, ports):
        stream = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        threading.Thread(target=accept, args=(stream,), daemon=True).start()
        # One for each family: a socket of both is not given IPv4 multicast.
        for family, any_address in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
            datagram = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            datagram.bind((any_address, port))
            datagrams.append(datagram)
    print("serving", flush=True)
    while True:
        for ready in select.select(datagrams, [], [])[0]:
            data, sender = ready.recvfrom(9000)
            try:
                ready.sendto(data[:1], sender)
            except OSError:
                pass


def accept(server):
    while True:
        server.accept()[0].close()


def answers(target):
    protocol, address, port = target.split("/")
    info = socket.getaddrinfo(address, int(port))[0]
    found = set()
    with socket.socket(info[0], socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as client:
        client.settimeout(wait)
        try:
            if protocol == "tcp":
                client.connect(info[4])
                return [address]
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"x" * int(os.environ.get("SIZE", "1")), info[4])
            end = time.monotonic() + wait
            while time.monotonic() < end:
                client.settimeout(max(0.001, end - time.monotonic()))
                found.add(client.recvfrom(10)[1][0].split("%")[0])
        except OSError:
            pass
    return sorted(found)


def ask(targets):
    found = {}
    threads = [threading.Thread(target=lambda one=one: found.update({one: answers(one)})) for one in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({one: found[one] for one in targets if found[one]}))


{"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2:])
