"""A server of TCP and UDP that answers with its name and who asked (`serve NAME PORT…`), a client that prints for each target,
such as tcp/192.0.2.1/22, the answer or "none" (`ask TARGET…`), or one that asks by UDP from one port again and again and prints each answer that differs (`flow`).
"""
import concurrent.futures, socket, sys, threading, time


def serve(name, *ports):
    def told(peer):
        return f"{name} {peer[0].removeprefix('::ffff:')}".encode()

    def streams(server):
        while True:
            client, peer = server.accept()
            client.sendall(told(peer))
            client.close()

    def datagrams(server):
        while True:
            _, peer = server.recvfrom(100)
            server.sendto(told(peer), peer)

    for port in map(int, ports):
        stream = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        threading.Thread(target=streams, args=(stream,)).start()
        datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagram.bind(("::", port))
        threading.Thread(target=datagrams, args=(datagram,)).start()
    print("serving", flush=True)


def client(protocol, address, port):
    info = socket.getaddrinfo(address, int(port))[0]
    one = socket.socket(info[0], socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    one.settimeout(0.5)
    one.connect(info[4])
    return one


def answer(target):
    try:
        with client(*target.split("/")) as one:
            if target.startswith("udp"):
                one.send(b"?")
            return one.recv(100).decode() or "none"
    except OSError:
        return "none"


def ask(*targets):
    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        print("\n".join(pool.map(answer, targets)))


def flow(address, port):
    last = None
    with client("udp", address, port) as one:
        one.settimeout(0.02)
        while True:
            try:
                one.send(b"?")
                found = one.recv(100).decode()
            except OSError:
                time.sleep(0.02)
                continue
            if found != last:
                print(found, flush=True)
            last = found
            time.sleep(0.02)


{"serve": serve, "ask": ask, "flow": flow}[sys.argv[1]](*sys.argv[2:])
