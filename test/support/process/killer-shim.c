/*
 * Kills the process by SIGKILL just before one of its requests to the kernel (netlink), to xenstored or to Open vSwitch's
 * database, for tests of what the next daemon finds then. Preloaded into vifd.
 *
 * Requests count while the file VIFD_KILL_TRIGGER exists; the process dies before the one with the number VIFD_KILL_AT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static atomic_int count;

static void request(void)
{
	const char *at = getenv("VIFD_KILL_AT"), *trigger = getenv("VIFD_KILL_TRIGGER");

	if (at && trigger && !access(trigger, F_OK) && atomic_fetch_add(&count, 1) + 1 == atoi(at))
		kill(getpid(), SIGKILL);
}

static int is_netlink(int fd)
{
	int domain = 0;
	socklen_t size = sizeof domain;

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_NETLINK;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	if (is_netlink(fd))
		request();
	return sendto(fd, data, size, flags | 0x40000000, NULL, 0);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
	static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

	if (!real)
		real = dlsym(RTLD_NEXT, "sendto");
	/* The flag is of `send` above, which has counted. */
	if (!(flags & 0x40000000) && is_netlink(fd))
		request();
	return real(fd, data, size, flags & ~0x40000000, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static ssize_t (*real)(int, const struct msghdr *, int);

	if (!real)
		real = dlsym(RTLD_NEXT, "sendmsg");
	if (is_netlink(fd))
		request();
	return real(fd, message, flags);
}

/* Whether the other end is ovsdb-server's socket, whose name is always the same. */
static int is_database(int fd)
{
	static const char name[] = "/db.sock";
	struct sockaddr_un peer = { 0 };
	socklen_t size = sizeof peer - 1;
	size_t length;

	if (getpeername(fd, (struct sockaddr *)&peer, &size) || peer.sun_family != AF_UNIX)
		return 0;
	length = strlen(peer.sun_path);
	return length >= sizeof name && !strcmp(peer.sun_path + length - (sizeof name - 1), name);
}

ssize_t write(int fd, const void *data, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t);
	Dl_info caller;

	if (!real)
		real = dlsym(RTLD_NEXT, "write");
	if (dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, "libxenstore"))
		request();
	else if (is_database(fd))
		request();
	return real(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	static ssize_t (*real)(int, const struct iovec *, int);

	if (!real)
		real = dlsym(RTLD_NEXT, "writev");
	if (is_database(fd))
		request();
	return real(fd, parts, count);
}
