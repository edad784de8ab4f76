/*
 * Two calls that a daemon makes and that Node does not have: an entry for the journal that is never waited for, and a lock
 * that the kernel gives back however its holder ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SEND_BUFFER = 8 << 20 };

/* Sends the entry as a sealed file, as journald takes one that is too large for a datagram. */
static int send_file(int fd, const struct sockaddr_un *to, const void *entry, size_t length)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control = {0};
	struct msghdr message = {
		.msg_name = (void *)to,
		.msg_namelen = sizeof *to,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	int file = memfd_create("journal-entry", MFD_ALLOW_SEALING | MFD_CLOEXEC), error = 0;

	if (file < 0)
		return errno;
	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof file);
	memcpy(CMSG_DATA(part), &file, sizeof file);
	if (write(file, entry, length) != (ssize_t)length ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ||
	    sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		error = errno;
	close(file);
	return error;
}

/*
 * @path  journald's socket
 * @entry  in its native protocol
 * Returns 0 or an errno, EAGAIN while journald takes no more. Never waits. For one thread.
 */
int journal_send(const char *path, const void *entry, int length)
{
	static int fd = -1;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int size = SEND_BUFFER;

	if (strlen(path) >= sizeof to.sun_path)
		return ENAMETOOLONG;
	strcpy(to.sun_path, path);
	if (fd < 0) {
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return errno;
		if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size))
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	}
	if (sendto(fd, entry, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to) >= 0)
		return 0;
	return errno == EMSGSIZE || errno == ENOBUFS ? send_file(fd, &to, entry, length) : errno;
}

/* Takes the lock of an open file or directory (flock(2)). Returns 0 or an errno, EWOULDBLOCK while another has it. */
int lock_take(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
}
