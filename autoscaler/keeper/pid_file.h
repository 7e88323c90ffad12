/* pid_file - reads the file into which a program that goes into the background writes the process
 * id of its daemon, and makes sure that this is a process of the instance.
 * Thread: the keeper's only one. */
#ifndef AUTOSCALER_KEEPER_PID_FILE_H
#define AUTOSCALER_KEEPER_PID_FILE_H

#include "common/base.h"

/* A relative path is one in directory (NULL: the working directory).  0: there is no such file
 * yet, or no process id in it. */
pid_t pid_file_read(const char *path, const char *directory);

/* Is the process a child of this one, which adopts daemons, and of that instance?  Its environment
 * names the instance; if it was cleared, it must at least have begun after the instance did.
 * The file may be an old one, and its process id that of another process by now. */
bool pid_file_is_ours(pid_t, const char *id, uint64_t instance_ticks);

#endif
