/* netlink-thread.c with its sockets replaced: datagrams of any size and errors from the kernel, bytes in any pieces from Node. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "input.h"

enum { NODE = 1000, NETLINK };

static int errors[] = {EAGAIN, ENOBUFS, EINTR, EIO, EMSGSIZE, ECONNREFUSED, ENOMEM, EPIPE};
/* The bytes of a frame to Node that are still to come. */
static size_t owed;
static uint8_t started[4];
static size_t started_size;

static int fails(void)
{
	uint8_t byte = take_byte();

	/* Used up: nothing waits. */
	errno = left ? errors[byte & 7] : EAGAIN;
	return byte < 64 || !left;
}

static ssize_t fuzz_recv(int fd, void *buffer, size_t room, int flags)
{
	size_t size;

	assert(fd == NETLINK && (flags & MSG_TRUNC));
	if (fails())
		return -1;
	size = take_byte() << 8 | take_byte();
	/* A tenth of them is about as large as the buffer, or larger. */
	if (size > 60000)
		size = room - 100 + (size - 60000);
	memset(buffer, 0x5a, size < room ? size : room);
	take(buffer, size < room ? size : room);
	return size;
}

static ssize_t fuzz_send(int fd, const void *buffer, size_t size, int flags)
{
	const uint8_t *at = buffer;

	(void)flags;
	if (fails())
		return -1;
	if (fd == NETLINK) {
		/* Each byte is read. */
		for (size_t i = 0, sum = 0; i < size; i++)
			errno = (sum += at[i]) ? errno : errno;
		return size;
	}
	assert(size > 0);
	size = 1 + (take_byte() << 8 | take_byte()) % size;
	for (size_t i = 0; i < size; i++) {
		if (owed) {
			owed--;
			continue;
		}
		started[started_size++] = at[i];
		if (started_size == 4) {
			uint32_t announced;

			memcpy(&announced, started, 4);
			assert(announced <= 256 * 1024);
			owed = announced;
			started_size = 0;
		}
	}
	return size;
}

static ssize_t fuzz_read(int fd, void *buffer, size_t room)
{
	uint8_t most = take_byte();

	assert(fd == NODE && room > 0);
	return take(buffer, most < room ? most : room);
}

static int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	uint8_t which = take_byte();

	assert(count == 2 && timeout == -1);
	fds[0].revents = which & 1 ? POLLIN : 0;
	fds[1].revents = which & 2 || !left ? POLLIN : 0;
	errno = EINTR;
	return which & 0x80 ? -1 : 1;
}

/* The channel, which is half a megabyte and so not made for each input. */
static void *only;

static void fuzz_free(void *channel)
{
	assert(channel == only);
}

static int fuzz_close(int fd)
{
	return fd >= 0 ? 0 : -1;
}

#define recv fuzz_recv
#define send fuzz_send
#define read fuzz_read
#define poll fuzz_poll
#define close fuzz_close
#define free fuzz_free
#undef _GNU_SOURCE
#include "../../../native/node-netlink/src/netlink-thread.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct channel *c = only = only ? only : calloc(1, sizeof *c);

	if (!c)
		return 0;
	c->in_used = 0;
	input = data;
	left = size;
	owed = started_size = 0;
	c->node = NODE;
	c->netlink = NETLINK;
	run(c);
	return 0;
}
