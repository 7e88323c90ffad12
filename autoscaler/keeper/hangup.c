#include "autoscaler/keeper/hangup.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/link.h"

#define FDS_MAX 64
#define GONE_WITHIN_MS 3000
#define LOOK_AGAIN_MS 1

static int
by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* fds: n in ascending order. */
static int
close_all_but(const int *fds, size_t n)
{
	unsigned from = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned fd = (unsigned)fds[i];

		if (fd > from && close_range(from, fd - 1, 0) < 0)
			return -1;
		from = fd + 1;
	}
	return close_range(from, ~0U, 0);
}

/* Only what is safe in a signal handler.  A process that was not reaped yet can be sent signals
 * still. */
NORETURN static void
wait_and_exit(int pid_fd, const int *fds, size_t n)
{
	struct sigaction end = {.sa_handler = SIG_DFL};
	struct pollfd p = {.fd = pid_fd, .events = POLLIN};
	int64_t until;

	sigaction(SIGTERM, &end, NULL);
	prctl(PR_SET_NAME, "act-keeper-end");
	if (close_all_but(fds, n) == 0) {
		until = clk_now() + GONE_WITHIN_MS * CLK_MS;
		(void)poll(&p, 1, GONE_WITHIN_MS);
		while (clk_now() < until && pidfd_send_signal(pid_fd, 0, NULL, 0) == 0)
			(void)poll(NULL, 0, LOOK_AGAIN_MS);
	}
	_exit(0);
}

void
hangup_after_exit(const struct link_server *server)
{
	int fds[FDS_MAX + 1];
	size_t n = link_server_fds(server, fds, FDS_MAX);
	int pid_fd = n == 0 ? -1 : pidfd_open(getpid(), 0);

	if (pid_fd < 0)
		return;
	fds[n++] = pid_fd;
	qsort(fds, n, sizeof fds[0], by_number);
	if (fork() == 0)
		wait_and_exit(pid_fd, fds, n);
	close(pid_fd);
}
