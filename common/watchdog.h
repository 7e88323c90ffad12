/* watchdog - tells systemd that the program is alive, three times in each WatchdogSec=.  It does so
 * from the loop, so that a loop that hangs is noticed; other threads are asked first.
 * Thread: the loop's. */
#ifndef COMMON_WATCHDOG_H
#define COMMON_WATCHDOG_H

#include "common/base.h"

struct loop;
struct watchdog; /* opaque; watchdog.c */

/* ask: called when systemd is to hear from the program; watchdog_alive() follows once every thread
 * has answered.  NULL: there is no other thread.  Returns NULL where systemd asks for nothing. */
struct watchdog *watchdog_new(struct loop *, void (*ask)(void *arg), void *arg);
void watchdog_free(struct watchdog **); /* *watchdog may be NULL */
void watchdog_alive(struct watchdog *);

#endif
