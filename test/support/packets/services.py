"""A server of TCP and UDP at some ports (`serve PORT…`), or a client that prints which of them answer (`ask TARGET…`).

A target is tcp or udp, an address, with %device where it needs one, and a port: udp/224.0.0.1/53.
"""
import json, select, socket, sys, threading


def serve(ports):
    datagrams = []
    for port in map(int, ports):
        stream = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        threading.Thread(target=accept, args=(stream,), daemon=True).start()
        datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagram.bind(("::", port))
        datagrams.append(datagram)
    print("serving", flush=True)
    while True:
        for ready in select.select(datagrams, [], [])[0]:
            data, sender = ready.recvfrom(2000)
            try:
                ready.sendto(data, sender)
            except OSError:
                pass


def accept(server):
    while True:
        server.accept()[0].close()


def answers(target):
    protocol, address, port = target.split("/")
    info = socket.getaddrinfo(address, int(port))[0]
    with socket.socket(info[0], socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        try:
            if protocol == "tcp":
                client.connect(info[4])
                return True
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"x", info[4])
            return client.recvfrom(10)[0] == b"x"
        except OSError:
            return False


def ask(targets):
    found = {}
    threads = [threading.Thread(target=lambda one=one: found.update({one: answers(one)})) for one in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([one for one in targets if found[one]]))


{"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2:])
