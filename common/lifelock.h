/* lifelock - a file that a process keeps locked for its lifetime, so that another process on the
 * same kernel knows for certain when it has ended.  For processes that cannot see each other, as
 * in two containers that share the folder of a socket.
 *
 * The file is `SOCKET.ID.lock`.  Ids of other characters than letters, digits and `-` have none.
 * Thread: any. */
#ifndef COMMON_LIFELOCK_H
#define COMMON_LIFELOCK_H

#include "common/base.h"

enum lifelock {
	LIFELOCK_UNKNOWN, /* there is no such file, or it cannot be read: errno */
	LIFELOCK_HELD,
	LIFELOCK_FREE, /* the process has ended */
};

/* Lock the file of our own id, for as long as the descriptor is open.  -1 with errno: it cannot be
 * made or locked. */
NODISCARD int lifelock_hold(const char *socket, const char *id);
enum lifelock lifelock_look(const char *socket, const char *id);
/* The process has ended, and no other asks. */
void lifelock_remove(const char *socket, const char *id);

#endif
