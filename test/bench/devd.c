/*
 * The part of `xl devd` that runs scripts: a watch, and for each vif that reaches InitWait one fork and exec of the hotplug
 * script, with libxl's arguments and environment; once more for a vif that dom0 takes away and netback has closed, after
 * which its directory is deleted. Vifs that are connected at the start are left alone. As in libxl each vif is an
 * asynchronous operation of its own, and any number of scripts run at once. It does less than the original, which reads
 * more of xenstore and kills a script after 40 s, so that only the scripts are measured.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenstore.h>

static void run_script(const char *command, const char *script, const char *backend, const char *netdev, unsigned domid,
		       unsigned devid)
{
	char vif[32];

	if (fork())
		return;
	signal(SIGCHLD, SIG_DFL);
	if (!strcmp(command, "offline")) {
		pid_t child = fork();

		if (child) {
			waitpid(child, NULL, 0);
			_exit(!xs_rm(xs_open(0), XBT_NULL, backend));
		}
	}
	snprintf(vif, sizeof vif, "vif%u.%u", domid, devid);
	setenv("script", script, 1);
	setenv("XENBUS_TYPE", "vif", 1);
	setenv("XENBUS_PATH", backend, 1);
	setenv("XENBUS_BASE_PATH", "backend", 1);
	setenv("netdev", netdev ? netdev : "", 1);
	setenv("vif", vif, 1);
	execl(script, script, command, "type_if=vif", (char *)NULL);
	perror(script);
	_exit(1);
}

/* Whether a vif's removal has been handled, so that a second event for it is ignored; by domain and device. */
static unsigned char gone[1 << 16];

int main(void)
{
	struct xs_handle *requests = xs_open(0), *watches = xs_open(0);

	/* The kernel reaps the scripts; their result is in hotplug-status. */
	signal(SIGCHLD, SIG_IGN);
	if (!requests || !watches || !xs_watch(watches, "backend/vif", "")) {
		perror("devd");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		unsigned count, size, domid, devid;
		char **event = xs_read_watch(watches, &count), *state, *online, *script, *netdev, backend[64], path[128];
		int end = 0, isClosed;
		unsigned char *isGone;

		if (!event)
			return 1;
		sscanf(event[XS_WATCH_PATH], "backend/vif/%u/%u/state%n", &domid, &devid, &end);
		free(event);
		if (!end)
			continue;
		snprintf(backend, sizeof backend, "backend/vif/%u/%u", domid, devid);
		snprintf(path, sizeof path, "%s/state", backend);
		state = xs_read(requests, XBT_NULL, path, &size);
		snprintf(path, sizeof path, "%s/online", backend);
		online = xs_read(requests, XBT_NULL, path, &size);
		snprintf(path, sizeof path, "%s/script", backend);
		script = xs_read(requests, XBT_NULL, path, &size);
		snprintf(path, sizeof path, "%s/gatewaydev", backend);
		netdev = xs_read(requests, XBT_NULL, path, &size);
		isGone = &gone[(domid << 4 | devid) & 0xffff];
		isClosed = state && online && !strcmp(state, "6") && !strcmp(online, "0");
		if (state && script && !strcmp(state, "2"))
			run_script("online", script, backend, netdev, domid, devid);
		else if (isClosed && script && !*isGone)
			run_script("offline", script, backend, netdev, domid, devid);
		*isGone = isClosed || (!state && *isGone);
		free(netdev);
		free(online);
		free(state);
		free(script);
	}
}
