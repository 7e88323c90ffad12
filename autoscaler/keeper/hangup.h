/* hangup - gives the end of a connection to the keeper a firm meaning: the keeper is gone.
 * The kernel closes the descriptors of a process before it frees the process id, and the id
 * stays in use until the parent has reaped the process.  So a process of its own keeps the
 * connections open until then.
 * Thread: the keeper's only one. */
#ifndef AUTOSCALER_KEEPER_HANGUP_H
#define AUTOSCALER_KEEPER_HANGUP_H

struct link_server;

/* Just before this process exits: keep its accepted connections open until its process id is
 * free, but for 3 s at most, as a parent may never reap it.  Does nothing where the kernel has
 * no pidfds, or where fork fails: then the connections end with this process. */
void hangup_after_exit(const struct link_server *);

#endif
