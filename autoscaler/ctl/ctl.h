/* ctl - what the parts of `activatorctl` share: its exit statuses, and what was asked for.
 *
 * Room: autoscaler/ctl is the program `activatorctl`: it connects to the control socket of a
 * running autoscaler, sends one request, and shows the answer (activatorctl(1)).  It uses common/
 * and the importer, and nothing else of the autoscaler: what they share is the protocol.
 *	main		the arguments
 *	commands	what each command asks for and shows; top
 *	show		the answers as tables
 *	logs		what instances have written
 *	usage		what services have used
 *	audit		what has changed, and by whom
 *	import		files of other platforms, translated
 *	completion	scripts for shells
 *	complete	what they ask for: how a command line may go on
 *	session		the connection, and one answer
 *	out		terminal and files: tables, colour, progress
 * Thread: it has one. */
#ifndef AUTOSCALER_CTL_CTL_H
#define AUTOSCALER_CTL_CTL_H

#include "common/err.h"
#include "common/settings_keys.h"

/* The exit status; activatorctl(1) lists them. */
enum ctl_exit {
	CTL_EXIT_OK = 0,
	CTL_EXIT_FAILED = 1,	  /* it could not be done */
	CTL_EXIT_USAGE = 2,	  /* the command line has a mistake */
	CTL_EXIT_NOT_FOUND = 3,	  /* no service or revision has the name */
	CTL_EXIT_UNREACHABLE = 4, /* the autoscaler cannot be reached */
	CTL_EXIT_TIMEOUT = 5,	  /* not done in time; it goes on */
	CTL_EXIT_INTERRUPTED = 130
};

enum ctl_format { CTL_TABLE, CTL_WIDE, CTL_NAME, CTL_JSON };

/* A key of the conf file, with a value; --max-scale 5. */
struct ctl_setting {
	const struct key *key;
	const char *value;
};

/* The options, each from its place before or behind the command. */
struct ctl_options {
	const char *conf;   /* -c; NULL: the default */
	const char *socket; /* --socket; NULL: as the conf file says */
	enum ctl_format format;
	bool is_quiet;
	bool is_not_waiting;	      /* --no-wait */
	int64_t timeout_ns;	      /* 0: the command's default */
	int64_t wait_ns;	      /* --wait of deploy; 0: not given */
	int64_t interval_ns;	      /* of top */
	uint32_t times;		      /* -n of top; 0: until interrupted */
	const char *state;	      /* --for of wait; NULL: awake */
	const char *file;	      /* -f of apply; NULL: none */
	bool is_following;	      /* -f of logs */
	uint32_t tail;		      /* lines of logs; UINT32_MAX: all */
	int64_t since_ns;	      /* of logs, usage and audit; 0: not given */
	struct ctl_setting *settings; /* the keys that deploy was given, in their order */
	size_t settings_n;
	char **sent; /* "KEY=VALUE", as they are sent with the request */
	size_t sent_n;
};

#endif
