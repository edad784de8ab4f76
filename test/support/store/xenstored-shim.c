/*
 * Stands in for the hypervisor under xenstored.
 *
 * Preloaded into the distribution's own xenstored, it answers the few calls by which xenstored reaches Xen, so that the
 * real daemon, with its transactions, quotas and watches, serves its Unix socket on any Linux machine. No domain connects
 * through a ring, so the event channel never fires.
 *
 * No Xen header is included: the calls and structures differ between the releases, and only the fields written
 * below are read (tools/xenstored/domain.c, 4.17: xenstored_domain.c).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static int handle; /* its address stands for every handle */

/* libxenctrl: xenstored checks that a domain is alive before its id may own a node. Every domain is. */
void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
	(void)logger, (void)dombuild_logger, (void)flags;
	return &handle;
}

int xc_interface_close(void *xc)
{
	(void)xc;
	return 0;
}

/* Up to Xen 4.17. The structure begins with domid, ssidref, and the flag bits "dying", "crashed", "shutdown". */
int xc_domain_getinfo(void *xc, uint32_t domid, unsigned count, uint32_t info[3])
{
	(void)xc, (void)count;
	info[0] = domid;
	info[1] = info[2] = 0;
	return 1;
}

/* Since Xen 4.18. The structure begins with domain and its padding, then the flags. */
int xc_domain_getinfo_single(void *xc, uint32_t domid, uint32_t info[2])
{
	(void)xc;
	info[0] = domid;
	info[1] = 0;
	return 0;
}

/* libxenevtchn: the descriptor is polled in the main loop; an eventfd that is never written to never wakes it. */
void *xenevtchn_open(void *logger, unsigned flags)
{
	(void)logger, (void)flags;
	return &handle;
}

int xenevtchn_fd(void *xce)
{
	static int fd = -1;
	(void)xce;
	return fd >= 0 ? fd : (fd = eventfd(0, 0));
}

/* Any positive port will do. */
int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t port)
{
	(void)xce, (void)domid, (void)port;
	return 1;
}

int xenevtchn_bind_virq(void *xce, unsigned virq)
{
	(void)xce, (void)virq;
	return 2;
}

int xenevtchn_notify(void *xce, uint32_t port)
{
	(void)xce, (void)port;
	return 0;
}

int xenevtchn_unbind(void *xce, uint32_t port)
{
	(void)xce, (void)port;
	return 0;
}

/* libxengnttab: maps the rings of other domains, of which none is introduced. */
void *xengnttab_open(void *logger, unsigned flags)
{
	(void)logger, (void)flags;
	return &handle;
}

int xengnttab_close(void *xgt)
{
	(void)xgt;
	return 0;
}

int xengnttab_set_max_grants(void *xgt, uint32_t count)
{
	(void)xgt, (void)count;
	return 0;
}

/* dom0's own ring: its event channel as a number in a file, its page as a file to map. An empty ring is all zeroes. */
int open(const char *path, int flags, ...)
{
	static int (*real_open)(const char *, int, ...);
	va_list rest;
	mode_t mode;
	int fd;

	if (!strcmp(path, "/proc/xen/xsd_port") || !strcmp(path, "/proc/xen/xsd_kva")) {
		fd = memfd_create("xsd", MFD_CLOEXEC);
		if (!strcmp(path, "/proc/xen/xsd_kva"))
			return ftruncate(fd, sysconf(_SC_PAGESIZE)) ? -1 : fd;
		return pwrite(fd, "1", 1, 0) == 1 ? fd : -1;
	}

	if (!real_open)
		real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	va_start(rest, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return real_open(path, flags, mode);
}
