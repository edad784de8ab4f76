/*
 * The least that an agent has to do for a vif, in C: a watch event, three reads, one RTM_SETLINK, two writes. It has no
 * checks, no error handling, no removal and no state, so it is the lower bound of the benchmark.
 */
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xenstore.h>

static void add(struct nlmsghdr *message, unsigned short type, const void *data, size_t size)
{
	struct rtattr *attribute = (void *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

/* Sets address, MTU, master and up in one message, and waits for its acknowledgement. */
static int attach(int netlink, const char *vif, const char *bridge, unsigned mtu)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
		char attributes[128];
	} message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = RTM_SETLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_index = if_nametoindex(vif), .ifi_flags = IFF_UP, .ifi_change = IFF_UP},
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer = {.error.error = -1};
	unsigned master = if_nametoindex(bridge);

	add(&message.header, IFLA_ADDRESS, "\xfe\xff\xff\xff\xff\xff", 6);
	add(&message.header, IFLA_MTU, &mtu, sizeof mtu);
	add(&message.header, IFLA_MASTER, &master, sizeof master);
	if (send(netlink, &message, message.header.nlmsg_len, 0) < 0 || recv(netlink, &answer, sizeof answer, 0) < 0)
		return -1;
	return answer.error.error;
}

static char *read_key(struct xs_handle *xs, const char *vif, const char *key)
{
	char path[128];
	unsigned size;

	snprintf(path, sizeof path, "backend/vif/%s/%s", vif, key);
	return xs_read(xs, XBT_NULL, path, &size);
}

int main(void)
{
	struct xs_handle *requests = xs_open(0), *watches = xs_open(0);
	int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (!requests || !watches || netlink < 0 || !xs_watch(watches, "backend/vif", "")) {
		perror("floor");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		unsigned count, domid, devid;
		char **event = xs_read_watch(watches, &count), *state, *bridge, *mtu;
		char vif[32], netdev[IFNAMSIZ], path[128];
		int end = 0;

		if (!event)
			return 1;
		sscanf(event[XS_WATCH_PATH], "backend/vif/%u/%u/state%n", &domid, &devid, &end);
		free(event);
		if (!end)
			continue;
		snprintf(vif, sizeof vif, "%u/%u", domid, devid);
		snprintf(netdev, sizeof netdev, "vif%u.%u", domid, devid);
		state = read_key(requests, vif, "state");
		bridge = read_key(requests, vif, "bridge");
		mtu = read_key(requests, vif, "mtu");
		if (state && bridge && !strcmp(state, "2") &&
		    !attach(netlink, netdev, bridge, mtu ? atoi(mtu) : 1500)) {
			snprintf(path, sizeof path, "/local/domain/%u/device/vif/%u/mtu", domid, devid);
			xs_write(requests, XBT_NULL, path, "1500", 4);
			snprintf(path, sizeof path, "backend/vif/%s/hotplug-status", vif);
			xs_write(requests, XBT_NULL, path, "connected", 9);
		}
		free(state);
		free(bridge);
		free(mtu);
	}
}
