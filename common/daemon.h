/* daemon - what both programs do at their start and end: arguments, the conf file, the limit
 * of descriptors, the lock file, messages to systemd.  Thread: main. */
#ifndef COMMON_DAEMON_H
#define COMMON_DAEMON_H

#include "common/err.h"

struct daemon_args {
	const char *conf; /* -c FILE; else activator.conf below SYSCONFDIR/activator */
	bool is_check;	  /* -t: check the conf file and exit */
	bool is_dump;	  /* -T: print the settings in effect and exit */
};

struct daemon_usage {
	const char *program;
	const char *more;    /* further lines of the synopsis, or "" */
	const char *options; /* the help of the program's own options, or "" */
};

/* Parse -c, -t, -T, -V and -h, and the program's own long options: `more` lists them as for
 * getopt_long(), with val >= 256 (NULL: none), and `extra` gets each, and returns -1
 * with err to refuse it.  -V and -h print and exit 0; a mistake prints the synopsis and exits 2. */
struct option;
void daemon_args_parse(struct daemon_args *, int argc, char **argv, const struct daemon_usage *,
		       const struct option *more,
		       int (*extra)(int val, const char *arg, void *ctx, struct err *), void *ctx);

/* Print the mistake in the arguments and the synopsis, and exit 2. */
NORETURN void daemon_args_mistake(const struct daemon_usage *, const struct err *);

/* settings_load(), which see; prints each mistake on standard error, a line each.  first: gets the
 * first one; NULL: not wanted. */
struct settings;
NODISCARD struct settings *daemon_settings(const char *file, struct err *first);

/* With -t print that the file has no mistake, with -T the settings in effect.  True: one of
 * them was given, and the program exits. */
bool daemon_report_settings(const struct daemon_args *, const struct settings *);

/* Raise the soft limit of descriptors to the hard one.  Returns the limit that holds now. */
size_t daemon_raise_nofile(void);

/* Ignore SIGPIPE. */
void daemon_init(void);

/* Keep SIGHUP, SIGUSR2, SIGTERM and SIGINT pending, also across execve(2): so that the program
 * which takes this one's place gets them, once it has handlers and releases them. */
void daemon_hold_signals(void);
void daemon_release_signals(void);

/* Lock the file `dir/name`, make it and dir if they are missing, and write our pid into it.
 * Returns the descriptor, which holds the lock until it is closed; -1 with err, which names
 * the process that holds the lock if one does. */
NODISCARD int daemon_lock(const char *dir, const char *name, struct err *);
/* Give the lock up and close fd; -1: nothing.  A child that has not executed its program yet may
 * have a copy of fd, which does not keep the lock. */
void daemon_unlock(int fd);

/* Send systemd a message of sd_notify(3), such as "READY=1", if it started us (NOTIFY_SOCKET). */
void daemon_notify(const char *state);
/* Send "WATCHDOG=1", without waiting for room: another one will follow. */
void daemon_notify_alive(void);
/* Within what time systemd has to hear "WATCHDOG=1" from us, again and again (WATCHDOG_USEC,
 * WATCHDOG_PID); 0: it does not ask for that. */
int64_t daemon_watchdog_ns(void);

extern const char daemon_version[]; /* "0.1.0", from the Makefile */

#endif
