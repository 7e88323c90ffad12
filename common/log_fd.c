/* O_NONBLOCK belongs to the open file, which standard error shares with the shell and other
 * programs, so it is never set on descriptor 2 itself:
 *
 *   socket                 send(2) with MSG_DONTWAIT (systemd's journal)
 *   pipe, terminal         opened once more through /proc/self/fd/2: an open file of our own
 *   where that is refused  poll(2) before each write (a pipe of another user); another
 *                          writer of the same pipe may still fill it in between
 *   anything else          a file never makes write(2) wait for a reader
 */
#include "common/log_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum way { WAY_PLAIN, WAY_SOCKET, WAY_OWN, WAY_POLL };

/* A process has one standard error. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum way way;
static int own_fd = -1;	     /* WAY_OWN */
static struct stat seen;     /* the file that `way` is for */
static bool is_seen, is_cut; /* is_cut: the last line was written in part */

static void
choose_way(const struct stat *st)
{
	if (own_fd >= 0)
		close(own_fd);
	own_fd = -1;
	seen = *st;
	is_seen = true;
	if (S_ISSOCK(st->st_mode)) {
		way = WAY_SOCKET;
	} else if (S_ISFIFO(st->st_mode) || S_ISCHR(st->st_mode)) {
		own_fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		way = own_fd >= 0 ? WAY_OWN : WAY_POLL;
	} else {
		way = WAY_PLAIN;
	}
}

static bool
has_room(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static ssize_t
write_once(const char *text, size_t n)
{
	switch (way) {
	case WAY_SOCKET:
		return send(STDERR_FILENO, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case WAY_OWN:
		return write(own_fd, text, n);
	case WAY_POLL:
		if (!has_room()) {
			errno = EAGAIN;
			return -1;
		}
		return write(STDERR_FILENO, text, n);
	case WAY_PLAIN:
		break;
	}
	return write(STDERR_FILENO, text, n);
}

static bool
write_all_locked(const char *text, size_t n)
{
	ssize_t sent;

	do
		sent = write_once(text, n);
	while (sent < 0 && errno == EINTR);
	if (sent > 0)
		is_cut = (size_t)sent < n;
	return sent == (ssize_t)n;
}

bool
log_fd_write(const char *text, size_t n)
{
	struct stat st;
	bool is_written;

	pthread_mutex_lock(&lock);
	if (fstat(STDERR_FILENO, &st) == 0 &&
	    (!is_seen || st.st_ino != seen.st_ino || st.st_dev != seen.st_dev))
		choose_way(&st);
	/* A terminal or a full disk may take a part of a line: end that line first. */
	is_written = (!is_cut || write_all_locked("\n", 1)) && write_all_locked(text, n);
	pthread_mutex_unlock(&lock);
	return is_written;
}

void
log_fd_reserve_standard(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return; /* no /dev/null: there is nothing better to do */
}
