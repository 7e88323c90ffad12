/* daemon - what both programs do before and after their own work: arguments, the
 * conf file, descriptor limit, the one-instance lock, PATH of this binary.  Thread: main. */
#ifndef COMMON_DAEMON_H
#define COMMON_DAEMON_H

#include "common/err.h"

struct daemon_args {
	const char *conf; /* -c FILE; daemon_conf_default without */
	bool is_check;	  /* -t: check the conf file and exit */
	bool is_dump;	  /* -T: print the settings in effect and exit */
};

struct daemon_usage {
	const char *program;
	const char *more;    /* further lines of the synopsis, "" where there are none */
	const char *options; /* help of the program's own options, likewise */
};

/* Parse -c, -t, -T, -V, -h with getopt_long; `extra` gets each further long option of
 * the program (`more`, getopt_long form, val >= 256; NULL: none) and returns -1 to
 * refuse it.  -V and -h print and exit 0; a mistake, such as an argument that belongs to no
 * option, prints the synopsis and exits 2. */
struct option;
void daemon_args_parse(struct daemon_args *, int argc, char **argv, const struct daemon_usage *,
		       const struct option *more, int (*extra)(int val, const char *arg, void *ctx),
		       void *ctx);

/* settings_load(); each mistake goes to standard error, a line each. */
struct settings;
NODISCARD struct settings *daemon_settings(const char *file);

/* With -t or -T: print that the file has no mistake, or the settings in effect.  True: done,
 * the program exits. */
bool daemon_report_settings(const struct daemon_args *, const struct settings *);

/* Raise the soft descriptor limit to the hard one.  Returns what it is now. */
size_t daemon_raise_nofile(void);

/* SIGPIPE ignored; locale left alone. */
void daemon_init(void);

/* Take the lock file `dir/name` (made where missing, dir too) and write our pid
 * into it, if there is room.  Returns the descriptor, held until exit; -1 with "held by process N
 * (socket …)" where another one holds it. */
NODISCARD int daemon_lock(const char *dir, const char *name, struct err *);

/* Tell systemd (NOTIFY_SOCKET), if it is there: "READY=1", "STOPPING=1". */
void daemon_notify(const char *state);

extern const char daemon_version[];	 /* "0.1.0", from the Makefile */
extern const char daemon_conf_default[]; /* "/etc/activator/activator.conf" */

#endif
