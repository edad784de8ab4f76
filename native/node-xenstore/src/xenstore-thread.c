/*
 * Runs libxenstore on a thread of its own, which Node talks to over a socketpair.
 *
 * libxenstore blocks: in a request until xenstored answers, in xs_open until it accepts. Run on libuv's thread pool
 * such a call takes one of four workers from files and DNS, loses errno on its way back, and keeps the process from
 * ending for as long as xenstored does not answer. This thread is detached instead and never joined, and exit_group ends
 * it in any call. It shares only a socket with Node, which Node polls like any other; closing it ends the connection.
 *
 * Frames are the structs below in the machine's byte order, since both ends are one process. src/frame.ts is the other
 * side.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenstore.h>

/* The header of a request, before `count` operations. */
struct request {
	uint32_t size; /* of the whole frame */
	uint32_t id;
	uint32_t transaction; /* started before, or 0 */
	uint32_t attempts;    /* above 0: all operations in one transaction, repeated this often on a conflict */
	uint32_t count;
};

/* The header of an operation, before path and value, each followed by a NUL that its size does not count. */
struct operation {
	uint32_t kind;
	uint32_t path_size;
	uint32_t value_size;
};

enum kind {
	READ = 1,
	WRITE,
	MKDIR,
	RM,
	DIRECTORY,
	CHILDREN,
	GET_PERMISSIONS,
	SET_PERMISSIONS,
	DOMAIN_PATH,
	WATCH,
	UNWATCH,
	EXPECT,
	TRANSACTION_START,
	TRANSACTION_COMMIT,
	TRANSACTION_ABORT,
};

/* The header of a reply, before the results in the order of the operations. */
struct reply {
	uint32_t size; /* of the whole frame */
	uint32_t id;
	uint32_t error; /* of the transaction: then nothing was changed, and a last result with an error says why */
};

/* The header of a result, before its data. */
struct result {
	uint32_t error; /* errno */
	uint32_t size;  /* of the data */
};

/* Ids of frames that are not replies. */
enum { ID_EVENT, ID_OPENED };

struct permission {
	uint32_t domid;
	uint32_t flags; /* enum xs_perm_type */
};

struct buffer {
	char *data;
	size_t used, room;
};

struct connection {
	int node;                  /* our end of the socketpair */
	int hangup;                /* a connection nothing is said on, which tells of xenstored's end */
	struct xs_handle *request; /* without watches, so that replies are read directly, not by a second thread */
	struct xs_handle *watch;   /* xs_watch gives it libxenstore's reader thread */
	char *path;
	struct buffer in, reply, events;
	bool lost;
};

/* An operation as pointers into its frame. */
struct view {
	enum kind kind;
	const char *path, *value;
	uint32_t path_size, value_size;
};

static bool reserve(struct buffer *b, size_t size)
{
	if (b->room - b->used < size) {
		size_t room = 2 * b->room + size;
		char *data = realloc(b->data, room);
		if (!data)
			return false;
		b->data = data;
		b->room = room;
	}
	return true;
}

/* Appends to a buffer; without memory the connection ends, as if xenstored had ended it. */
static void put(struct connection *c, struct buffer *b, const void *data, size_t size)
{
	if (!reserve(b, size)) {
		c->lost = true;
		return;
	}
	memcpy(b->data + b->used, data, size);
	b->used += size;
}

static void put_number(struct connection *c, struct buffer *b, uint32_t number)
{
	put(c, b, &number, sizeof number);
}

static bool flush(struct connection *c, struct buffer *b)
{
	for (size_t sent = 0; sent < b->used && !c->lost;) {
		ssize_t n = send(c->node, b->data + sent, b->used - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return false;
		sent += n > 0 ? (size_t)n : 0;
	}
	b->used = 0;
	return !c->lost;
}

/*
 * The errno of a call that failed. libxenstore closes a handle whose stream broke: EPIPE and ECONNRESET come from the
 * kernel, and libxenstore sets EBADF at the end of file and for every later call. None of them can come from xenstored
 * (xsd_errors in xs_wire.h). The watch handle gives EINVAL then, as for a refusal: see next_events.
 */
static int failure(struct connection *c)
{
	int error = errno ? errno : EIO;

	if (error == EBADF || error == EPIPE || error == ECONNRESET)
		c->lost = true;
	return error;
}

/*
 * Appends the watches that fired to c->events. xs_check_watch fails with EAGAIN while the handle is usable, and with
 * EINVAL once its reader thread has seen the end of the stream.
 */
static void next_events(struct connection *c)
{
	char **event;

	while ((event = xs_check_watch(c->watch))) {
		size_t path = strlen(event[XS_WATCH_PATH]) + 1, token = strlen(event[XS_WATCH_TOKEN]) + 1;
		struct reply header = {sizeof header + path + token, ID_EVENT, 0};

		put(c, &c->events, &header, sizeof header);
		put(c, &c->events, event[XS_WATCH_PATH], path);
		put(c, &c->events, event[XS_WATCH_TOKEN], token);
		free(event);
	}
	if (errno != EAGAIN)
		c->lost = true;
}

/*
 * Whether a name is in the operation's list of names, which end with a NUL each; one that ends with "*" stands for all that begin
 * so, and an empty list for all.
 */
static bool wanted(const struct view *op, const char *name)
{
	const char *end = op->value + op->value_size;

	for (const char *p = op->value; p < end; p += strlen(p) + 1) {
		size_t prefix = strcspn(p, "*");

		if (p[prefix] ? !strncmp(p, name, prefix) : !strcmp(p, name))
			return true;
	}
	return !op->value_size;
}

/* Whether a directory has other wanted children than it had: it was replaced while they were read. */
static bool replaced(struct connection *c, const struct view *op, char **names, unsigned count)
{
	unsigned now_count, i = 0, j = 0;
	char **now = xs_directory(c->request, XBT_NULL, op->path, &now_count);
	bool same;

	if (!now)
		return true;
	for (;; i++, j++) {
		while (i < count && !wanted(op, names[i]))
			i++;
		while (j < now_count && !wanted(op, now[j]))
			j++;
		same = i == count && j == now_count;
		if (i == count || j == now_count || strcmp(names[i], now[j]))
			break;
	}
	free(now);
	return !same;
}

/*
 * Appends the values of a directory's children: {name size, value size, name, value} of each. The directory is listed
 * first, so that absent keys cost no round trip, and again when a key is gone by the time it is read: the directory may
 * have been removed in between, and half of it must not pass for the whole. It is listed once more at the end: the list of
 * a device and the values of the next one of the same number would be a vif that lacks keys, such as `ip`. Of a directory that
 * keeps losing keys those count as absent after `attempts`. When a child cannot be read, the data is its name.
 */
static int children(struct connection *c, xs_transaction_t t, const struct view *op, unsigned attempts)
{
	size_t start = c->reply.used, room = op->path_size + 2;
	unsigned count;
	char **names = xs_directory(c->request, t, op->path, &count);
	bool changed = false;
	int error = 0;

	if (!names)
		return failure(c);
	for (unsigned i = 0; i < count && !error && !(changed && attempts > 1); i++) {
		uint32_t name_size = strlen(names[i]);
		unsigned size;
		char *path, *value;

		if (!wanted(op, names[i]))
			continue;
		if (!(path = malloc(room + name_size))) {
			error = ENOMEM;
			break;
		}
		stpcpy(stpcpy(stpcpy(path, op->path), strcmp(op->path, "/") ? "/" : ""), names[i]);
		if ((value = xs_read(c->request, t, path, &size))) {
			put_number(c, &c->reply, name_size);
			put_number(c, &c->reply, size);
			put(c, &c->reply, names[i], name_size);
			put(c, &c->reply, value, size);
			free(value);
		} else if ((error = failure(c)) == ENOENT) {
			changed = true;
			error = 0;
		} else {
			c->reply.used = start;
			put(c, &c->reply, names[i], name_size);
		}
		free(path);
	}
	if (!error && !changed && t == XBT_NULL)
		changed = replaced(c, op, names, count);
	free(names);
	if (error || !changed || attempts == 1)
		return error;
	c->reply.used = start;
	return children(c, t, op, attempts - 1);
}

/* Performs one operation, appends its data to c->reply, and returns 0 or an errno. */
static int perform(struct connection *c, xs_transaction_t t, const struct view *op)
{
	struct buffer *out = &c->reply;
	struct xs_permissions *permissions;
	unsigned size;
	char *value, **names;
	bool done;

	errno = 0;
	switch (op->kind) {
	case READ:
		if (!(value = xs_read(c->request, t, op->path, &size)))
			return failure(c);
		put(c, out, value, size);
		free(value);
		return 0;
	case EXPECT:
		if (!(value = xs_read(c->request, t, op->path, &size)))
			return failure(c);
		done = size == op->value_size && !memcmp(value, op->value, size);
		free(value);
		return done ? 0 : ESTALE;
	case WRITE:
		return xs_write(c->request, t, op->path, op->value, op->value_size) ? 0 : failure(c);
	case MKDIR:
		return xs_mkdir(c->request, t, op->path) ? 0 : failure(c);
	case RM:
		return xs_rm(c->request, t, op->path) ? 0 : failure(c);
	case DIRECTORY:
		if (!(names = xs_directory(c->request, t, op->path, &size)))
			return failure(c);
		for (unsigned i = 0; i < size; i++)
			put(c, out, names[i], strlen(names[i]) + 1);
		free(names);
		return 0;
	case CHILDREN:
		return children(c, t, op, 4);
	case GET_PERMISSIONS:
		if (!(permissions = xs_get_permissions(c->request, t, op->path, &size)))
			return failure(c);
		for (unsigned i = 0; i < size; i++) {
			put_number(c, out, permissions[i].id);
			put_number(c, out, permissions[i].perms);
		}
		free(permissions);
		return 0;
	case SET_PERMISSIONS:
		size = op->value_size / sizeof(struct permission);
		if (!(permissions = calloc(size + 1, sizeof *permissions)))
			return ENOMEM;
		for (unsigned i = 0; i < size; i++) {
			struct permission p;
			memcpy(&p, op->value + i * sizeof p, sizeof p);
			permissions[i].id = p.domid;
			permissions[i].perms = p.flags;
		}
		done = xs_set_permissions(c->request, t, op->path, permissions, size);
		free(permissions);
		return done ? 0 : failure(c);
	case DOMAIN_PATH:
		if (!(value = xs_get_domain_path(c->request, strtoul(op->path, NULL, 10))))
			return failure(c);
		put(c, out, value, strlen(value));
		free(value);
		return 0;
	case WATCH:
		return xs_watch(c->watch, op->path, op->value) ? 0 : failure(c);
	case UNWATCH:
		return xs_unwatch(c->watch, op->path, op->value) ? 0 : failure(c);
	case TRANSACTION_START:
		if ((t = xs_transaction_start(c->request)) == XBT_NULL)
			return failure(c);
		put_number(c, out, t);
		return 0;
	case TRANSACTION_COMMIT:
	case TRANSACTION_ABORT:
		return xs_transaction_end(c->request, t, op->kind == TRANSACTION_ABORT) ? 0 : failure(c);
	}
	return ENOSYS;
}

/* Reads the next operation of a frame; false when the frame is malformed, which ends the connection. */
static bool next_operation(const char **cursor, const char *end, struct view *op)
{
	struct operation header;
	size_t left = end - *cursor;

	if (left < sizeof header)
		return false;
	memcpy(&header, *cursor, sizeof header);
	left -= sizeof header;
	if (left < (size_t)header.path_size + header.value_size + 2)
		return false;
	op->kind = header.kind;
	op->path = *cursor + sizeof header;
	op->path_size = header.path_size;
	op->value = op->path + header.path_size + 1;
	op->value_size = header.value_size;
	*cursor = op->value + header.value_size + 1;
	return !op->path[op->path_size] && !op->value[op->value_size];
}

/* Performs the operations in order and appends their results; with `stop`, up to the first error, which it returns. */
static int perform_all(struct connection *c, const struct request *request, const char *cursor, const char *end,
		       xs_transaction_t t, bool stop)
{
	struct result result = {0, 0};
	struct view op;

	for (uint32_t i = 0; i < request->count && !c->lost && !(stop && result.error); i++) {
		size_t start = c->reply.used;

		if (!next_operation(&cursor, end, &op)) {
			c->lost = true;
			break;
		}
		put(c, &c->reply, &result, sizeof result);
		result.error = perform(c, t, &op);
		if (c->lost)
			break;
		result.size = c->reply.used - start - sizeof result;
		memcpy(c->reply.data + start, &result, sizeof result);
	}
	return result.error;
}

/* Performs all operations or none, again as often as the request allows while other clients change the same nodes. */
static int transact(struct connection *c, const struct request *request, const char *cursor, const char *end)
{
	size_t start = c->reply.used;
	int error = EAGAIN;

	for (uint32_t i = 0; i < request->attempts && error == EAGAIN && !c->lost; i++) {
		xs_transaction_t t = xs_transaction_start(c->request);

		c->reply.used = start;
		if (t == XBT_NULL)
			return failure(c);
		error = perform_all(c, request, cursor, end, t, true);
		if (!c->lost && !xs_transaction_end(c->request, t, error != 0) && !error)
			error = failure(c);
	}
	return error;
}

static void answer(struct connection *c, const char *frame)
{
	struct request request;
	struct reply reply = {0, 0, 0};
	const char *cursor = frame + sizeof request, *end;

	memcpy(&request, frame, sizeof request);
	end = frame + request.size;
	reply.id = request.id;
	put(c, &c->reply, &reply, sizeof reply);
	if (request.attempts)
		reply.error = transact(c, &request, cursor, end);
	else
		perform_all(c, &request, cursor, end, request.transaction, false);
	if (c->lost)
		return;
	reply.size = c->reply.used;
	memcpy(c->reply.data, &reply, sizeof reply);
}

/* Serves requests and passes events on, until Node closes its end or xenstored is gone. */
static void serve(struct connection *c)
{
	struct pollfd fds[] = {
		{.fd = c->node, .events = POLLIN},
		{.fd = xs_fileno(c->watch), .events = POLLIN},
		{.fd = c->hangup}, /* POLLHUP needs no asking */
	};

	while (!c->lost) {
		struct request request;
		size_t done = 0;

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
		if (fds[2].revents)
			return;
		if (fds[0].revents) {
			ssize_t n;

			if (!reserve(&c->in, 64 * 1024))
				return;
			n = read(c->node, c->in.data + c->in.used, c->in.room - c->in.used);
			if (n <= 0)
				return;
			c->in.used += n;
		}
		while (c->in.used - done >= sizeof request) {
			memcpy(&request, c->in.data + done, sizeof request);
			if (request.size < sizeof request)
				return;
			if (c->in.used - done < request.size)
				break;
			answer(c, c->in.data + done);
			done += request.size;
			/* Before the reply is sent: only xs_check_watch tells a failed watch from a lost connection. */
			next_events(c);
			if (c->lost || !flush(c, &c->reply) || !flush(c, &c->events))
				return;
		}
		memmove(c->in.data, c->in.data + done, c->in.used - done);
		c->in.used -= done;
		next_events(c);
		if (!flush(c, &c->events))
			return;
	}
}

/*
 * Opens one more connection to xenstored's socket, to notice its end at once: when libxenstore's stream ends, its reader
 * thread exits without writing to the pipe behind xs_fileno. The device /dev/xen/xenbus has no end, and connecting to it
 * as a socket fails.
 */
static int open_hangup(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = xs_daemon_socket();
	int fd;

	if (!path || strlen(path) >= sizeof address.sun_path)
		return -1;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Opens the handles. xs_open takes no path but reads XENSTORED_PATH; since the environment is the whole process', a path
 * is in it only while the handles are opened, under a lock.
 */
static int open_all(struct connection *c)
{
	static pthread_mutex_t environment = PTHREAD_MUTEX_INITIALIZER;
	const char *variable = "XENSTORED_PATH";
	char *before;
	int error = 0;

	pthread_mutex_lock(&environment);
	before = getenv(variable) ? strdup(getenv(variable)) : NULL;
	if (c->path)
		setenv(variable, c->path, 1);
	errno = 0;
	if (!(c->request = xs_open(0)) || !(c->watch = xs_open(0)))
		error = errno ? errno : EIO;
	else
		c->hangup = open_hangup();
	if (c->path && before)
		setenv(variable, before, 1);
	else if (c->path)
		unsetenv(variable);
	free(before);
	pthread_mutex_unlock(&environment);
	return error;
}

static void *run(void *argument)
{
	struct connection *c = argument;
	struct reply opened = {sizeof opened, ID_OPENED, open_all(c)};

	put(c, &c->reply, &opened, sizeof opened);
	if (flush(c, &c->reply) && !opened.error)
		serve(c);

	xs_close(c->request);
	xs_close(c->watch);
	if (c->hangup >= 0)
		close(c->hangup);
	close(c->node);
	free(c->in.data);
	free(c->reply.data);
	free(c->events.data);
	free(c->path);
	free(c);
	return NULL;
}

/*
 * Starts a connection and stores its socket in *fd. The first frame on it says whether xs_open succeeded.
 * @path  a Unix socket, or NULL for libxenstore's defaults: XENSTORED_PATH, its run directory, /dev/xen/xenbus.
 * Returns 0 or an errno.
 */
int xenstore_thread_start(const char *path, int *fd)
{
	struct connection *c = calloc(1, sizeof *c);
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int pair[2], error;

	if (!c || (path && !(c->path = strdup(path)))) {
		free(c);
		return ENOMEM;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		error = errno;
		free(c->path);
		free(c);
		return error;
	}
	c->node = pair[1];
	c->hangup = -1;

	/* Signals are for Node's threads: this thread and libxenstore's reader inherit the mask. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, run, c);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		close(pair[0]);
		close(pair[1]);
		free(c->path);
		free(c);
		return error;
	}
	*fd = pair[0];
	return 0;
}
