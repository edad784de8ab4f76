/*
 * `xl devd` as far as its scripts go: a watch, and for each vif that reaches InitWait one fork and exec of the hotplug
 * script, with libxl's arguments and environment. As in libxl each vif is an asynchronous operation of its own, and
 * nothing bounds how many scripts run at once. Less than the original does (it reads more of xenstore, and kills a
 * script after 40 s), so that nothing but the scripts is measured.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

static void run_script(const char *script, const char *backend, const char *netdev, unsigned domid, unsigned devid)
{
	char vif[32];

	if (fork())
		return;
	signal(SIGCHLD, SIG_DFL);
	snprintf(vif, sizeof vif, "vif%u.%u", domid, devid);
	setenv("script", script, 1);
	setenv("XENBUS_TYPE", "vif", 1);
	setenv("XENBUS_PATH", backend, 1);
	setenv("XENBUS_BASE_PATH", "backend", 1);
	setenv("netdev", netdev ? netdev : "", 1);
	setenv("vif", vif, 1);
	execl(script, script, "online", "type_if=vif", (char *)NULL);
	perror(script);
	_exit(1);
}

int main(void)
{
	struct xs_handle *requests = xs_open(0), *watches = xs_open(0);

	/* The kernel reaps the scripts: how they ended is in hotplug-status. */
	signal(SIGCHLD, SIG_IGN);
	if (!requests || !watches || !xs_watch(watches, "backend/vif", "")) {
		perror("devd");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		unsigned count, size, domid, devid;
		char **event = xs_read_watch(watches, &count), *state, *script, *netdev, backend[64], path[128];
		int end = 0;

		if (!event)
			return 1;
		sscanf(event[XS_WATCH_PATH], "backend/vif/%u/%u/state%n", &domid, &devid, &end);
		free(event);
		if (!end)
			continue;
		snprintf(backend, sizeof backend, "backend/vif/%u/%u", domid, devid);
		snprintf(path, sizeof path, "%s/state", backend);
		state = xs_read(requests, XBT_NULL, path, &size);
		snprintf(path, sizeof path, "%s/script", backend);
		script = xs_read(requests, XBT_NULL, path, &size);
		snprintf(path, sizeof path, "%s/gatewaydev", backend);
		netdev = xs_read(requests, XBT_NULL, path, &size);
		if (state && script && !strcmp(state, "2"))
			run_script(script, backend, netdev, domid, devid);
		free(netdev);
		free(state);
		free(script);
	}
}
