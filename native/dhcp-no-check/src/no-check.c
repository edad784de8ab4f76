/*
 * bind(2), which first has a socket of the DHCPv4 server's port send no UDP checksum (SO_NO_CHECK, socket(7)).
 *
 * To a virtual device the kernel passes datagrams on with their checksum still to be filled in. A client that reads its raw
 * socket takes that for a wrong one; zero says that there is none (RFC 768). In IPv6 there has to be one (RFC 8200, 8.1).
 */
#define _DEFAULT_SOURCE
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BOOTPS = 67 };

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in own;

	if (address != NULL && length >= sizeof own && address->sa_family == AF_INET) {
		memcpy(&own, address, sizeof own);
		/* What refuses it is no UDP socket, and of no interest here. */
		if (own.sin_port == htons(BOOTPS))
			setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &(int){ 1 }, sizeof(int));
	}
	return syscall(SYS_bind, fd, address, length);
}
