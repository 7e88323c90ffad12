#include "common/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int
unix_socket_address(struct sockaddr_un *to, const char *path, struct err *e)
{
	size_t n = strlen(path);

	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n == 0 || n > UNIX_SOCKET_PATH_MAX)
		return err_set(e, ENAMETOOLONG,
			       "expected a socket path of 1 to %zu bytes, got %zu: %s",
			       UNIX_SOCKET_PATH_MAX, n, path);
	memcpy(to->sun_path, path, n);
	return 0;
}

static int
open_socket(struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? err_errno(e, "cannot make a socket") : fd;
}

int
unix_socket_connect(const char *path, struct err *e)
{
	struct sockaddr_un to;
	int fd;

	if (unix_socket_address(&to, path, e) < 0)
		return -1;
	fd = open_socket(e);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
		err_errno(e, "cannot connect to %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

static bool
is_served(const char *path)
{
	struct err e = {0};
	int fd = unix_socket_connect(path, &e);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || e.code == EAGAIN; /* EAGAIN: its backlog is full */
}

/* Remove a socket at path where no process listens, and nothing else. */
static int
remove_stale(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(e, "cannot listen at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, EEXIST,
			       "cannot listen at %s: a file that is not a socket has this name",
			       path);
	if (is_served(path))
		return err_set(e, EADDRINUSE, "cannot listen at %s: another process listens there",
			       path);
	if (unlink(path) < 0)
		return err_errno(e, "cannot remove the old socket %s", path);
	return 0;
}

/* Lock the folder of path, so that of two processes which find a stale socket the second does
 * not remove the new one of the first.  Returns the descriptor that has the lock; -1: the
 * folder cannot be read, or is not there, and the bind will say so. */
static int
lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[UNIX_SOCKET_PATH_MAX + 1] = ".";
	int fd;

	if (slash != NULL) {
		size_t n = MAX((size_t)(slash - path), (size_t)1); /* of "/socket": "/" */

		memcpy(folder, path, n);
		folder[n] = '\0';
	}
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

static int
listen_locked(int fd, const struct sockaddr_un *at, mode_t mode, struct err *e)
{
	const char *path = at->sun_path;

	if (remove_stale(path, e) < 0)
		return -1;
	if (fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *)at, sizeof *at) < 0 ||
	    chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0)
		return err_errno(e, "cannot listen at %s", path);
	return 0;
}

int
unix_socket_listen(const char *path, mode_t mode, struct err *e)
{
	struct sockaddr_un at;
	int fd, lock_fd, rc;

	if (unix_socket_address(&at, path, e) < 0)
		return -1;
	fd = open_socket(e);
	if (fd < 0)
		return -1;
	lock_fd = lock_folder(path);
	rc = listen_locked(fd, &at, mode, e);
	if (lock_fd >= 0)
		close(lock_fd);
	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}
