/* xenstore-thread.c with libxenstore and its sockets replaced: any answer and any error of xenstored, any bytes of Node. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xenstore.h>
#include "input.h"

enum { NODE = 1000 };

static int errors[] = {ENOENT, EACCES, EAGAIN, EINVAL, ENOSPC, EIO, EBADF, 0};
/* The bytes of a frame to Node that are still to come, and the header of one that has begun. */
static size_t owed, started_size;
static uint8_t started[12];

static bool fails(void)
{
	uint8_t byte = take_byte();

	errno = errors[byte & 7];
	return byte < 32;
}

/* A string of the input with a NUL, and its size without. */
static char *text(unsigned *size)
{
	size_t room = take_byte();
	char *made = malloc(room + 1);

	assert(made);
	*size = take(made, room);
	made[*size] = 0;
	return made;
}

struct xs_handle {
	int unused;
};

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	return fails() ? NULL : calloc(1, sizeof(struct xs_handle));
}
void xs_close(struct xs_handle *h)
{
	free(h);
}
int xs_fileno(struct xs_handle *h)
{
	assert(h);
	return -1;
}
void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *size)
{
	assert(h && strlen(path) < 1 << 20);
	(void)t;
	return fails() ? NULL : text(size);
}
/* One block of pointers and what they point to, as libxenstore makes it. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *count)
{
	char **names, *at;

	assert(h && strlen(path) < 1 << 20);
	(void)t;
	if (fails())
		return NULL;
	*count = take_byte() & 15;
	names = malloc(*count * (sizeof *names + 32) + 1);
	assert(names);
	at = (char *)(names + *count);
	for (unsigned i = 0; i < *count; i++) {
		unsigned room = take_byte() & 31, size = take(at, room);

		at[size] = 0;
		names[i] = at;
		at += strlen(at) + 1;
	}
	return names;
}
bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned size)
{
	(void)t;
	assert(h && strlen(path) < 1 << 20 && ((const char *)data)[size] == 0);
	return !fails();
}
bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	(void)t;
	assert(h && strlen(path) < 1 << 20);
	return !fails();
}
bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	return xs_mkdir(h, t, path);
}
struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *count)
{
	struct xs_permissions *made;

	(void)t;
	assert(h && strlen(path) < 1 << 20);
	if (fails())
		return NULL;
	*count = take_byte() & 7;
	made = calloc(*count + 1, sizeof *made);
	assert(made);
	return made;
}
bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path, struct xs_permissions *perms,
			unsigned count)
{
	for (unsigned i = 0, sum = 0; i < count; i++)
		errno = (sum += perms[i].id + perms[i].perms) ? errno : errno;
	return xs_mkdir(h, t, path);
}
char *xs_get_domain_path(struct xs_handle *h, unsigned domid)
{
	unsigned size;

	(void)domid;
	assert(h);
	return fails() ? NULL : text(&size);
}
bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	return xs_mkdir(h, XBT_NULL, path) && strlen(token) < 1 << 20;
}
bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	return xs_watch(h, path, token);
}
char **xs_check_watch(struct xs_handle *h)
{
	char **event, *at;

	assert(h);
	errno = EAGAIN;
	if (!left || take_byte() < 200)
		return NULL;
	event = calloc(1, 2 * sizeof *event + 64);
	assert(event);
	at = (char *)(event + 2);
	event[XS_WATCH_PATH] = at;
	take(at, take_byte() & 31);
	event[XS_WATCH_TOKEN] = at + 32;
	take(at + 32, take_byte() & 30);
	return event;
}
xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	assert(h);
	return fails() ? XBT_NULL : 1;
}
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	(void)t, (void)abort;
	assert(h);
	return !fails();
}
const char *xs_daemon_socket(void)
{
	return NULL;
}

static ssize_t fuzz_send(int fd, const void *buffer, size_t size, int flags)
{
	const uint8_t *at = buffer;

	assert(fd == NODE && size > 0 && (flags & MSG_NOSIGNAL));
	if (take_byte() >= 250) {
		errno = left & 1 ? EINTR : EPIPE;
		return -1;
	}
	for (size_t i = 0; i < size; i++) {
		if (owed) {
			owed--;
			continue;
		}
		started[started_size++] = at[i];
		if (started_size == sizeof started) {
			uint32_t announced;

			memcpy(&announced, started, 4);
			assert(announced >= sizeof started);
			owed = announced - sizeof started;
			started_size = 0;
		}
	}
	return size;
}

static ssize_t fuzz_read(int fd, void *buffer, size_t room)
{
	size_t most = take_byte() << 8 | take_byte();

	assert(fd == NODE && room > 0);
	return take(buffer, most < room ? most : room);
}

static int fuzz_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	assert(count == 3 && timeout == -1);
	fds[0].revents = POLLIN;
	fds[1].revents = fds[2].revents = 0;
	return 1;
}

static int fuzz_close(int fd)
{
	return fd >= 0 ? 0 : -1;
}

#define send fuzz_send
#define read fuzz_read
#define poll fuzz_poll
#define close fuzz_close
#undef _GNU_SOURCE
#include "../../../native/node-xenstore/src/xenstore-thread.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct connection *c = calloc(1, sizeof *c);

	if (!c)
		return 0;
	input = data;
	left = size;
	owed = started_size = 0;
	c->node = NODE;
	c->hangup = -1;
	run(c);
	return 0;
}
