#include "common/lifelock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/log.h"

#define ID_MOST 64

/* The id may come from a peer.  NULL: it names no file. */
static char *
path_of(const char *socket, const char *id)
{
	static const char allowed[] =
		"0123456789-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = strlen(id);

	if (n == 0 || n > ID_MOST || strspn(id, allowed) != n)
		return NULL;
	return xasprintf("%s.%s.lock", socket, id);
}

/* -1 with errno. */
static int
open_of(const char *socket, const char *id, int flags)
{
	char *path = path_of(socket, id);
	int fd, code;

	if (path == NULL) {
		errno = EINVAL;
		return -1;
	}
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	code = errno;
	free(path);
	errno = code;
	return fd;
}

int
lifelock_hold(const char *socket, const char *id)
{
	int fd = open_of(socket, id, O_RDWR | O_CREAT), code;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

enum lifelock
lifelock_look(const char *socket, const char *id)
{
	int fd = open_of(socket, id, O_RDONLY), code;
	enum lifelock state = LIFELOCK_UNKNOWN;

	if (fd < 0)
		return LIFELOCK_UNKNOWN;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		state = LIFELOCK_FREE;
	else if (errno == EWOULDBLOCK)
		state = LIFELOCK_HELD;
	code = errno;
	close(fd);
	errno = code;
	return state;
}

void
lifelock_remove(const char *socket, const char *id)
{
	char *path = path_of(socket, id);

	if (path != NULL && unlink(path) < 0 && errno != ENOENT)
		log_debug(NULL, "cannot remove the lock file of a process that has ended",
			  "file=%s err=%s", path, strerror(errno));
	free(path);
}
