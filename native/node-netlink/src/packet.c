/*
 * Sends one packet by a device, for what the kernel does not send for another's address: there is no netlink request for it.
 *
 * The kernel makes the link-layer header (SOCK_DGRAM of packet(7)). Protocol 0 has the socket receive nothing. It stays
 * open: to close one waits until no processor uses it any more (synchronize_net in packet_release), some 10 ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

/*
 * @protocol  the EtherType
 * @to  six bytes, the link-layer address
 * Returns 0 or an errno. Never waits.
 */
int packet_send(int ifindex, int protocol, const void *to, const void *packet, int length)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = ifindex,
		.sll_protocol = htons(protocol),
		.sll_halen = 6,
	};
	static int fd = -1;

	if (fd < 0)
		fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	memcpy(address.sll_addr, to, 6);
	if (sendto(fd, packet, length, MSG_DONTWAIT, (struct sockaddr *)&address, sizeof address) < 0)
		return errno;
	return 0;
}
