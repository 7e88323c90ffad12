/* commands - what activatorctl can do: one table for running, help and completion. */
#ifndef AUTOSCALER_CTL_COMMANDS_H
#define AUTOSCALER_CTL_COMMANDS_H

#include "autoscaler/ctl/ctl.h"

/* Options that not every command has. */
enum {
	OPTION_OUTPUT = 1,
	OPTION_NO_WAIT = 2,
	OPTION_TIMEOUT = 4,
	OPTION_FOR = 8,
	OPTION_TOP = 16,    /* -n, --interval */
	OPTION_DEPLOY = 32, /* keys of the conf file, --host, --env, --revision, --traffic, … */
	OPTION_TAG = 64,    /* --tag */
	OPTION_UNTAG = 128, /* --untag */
	OPTION_TO = 256,    /* --to */
	OPTION_FILE = 512,  /* -f, --dry-run */
	OPTION_GENERATION = 1024, /* --generation */
	OPTION_LOGS = 2048,	  /* -f, --follow, --tail */
	OPTION_SINCE = 4096,	  /* --since */
	OPTION_USAGE = 8192,	  /* --from, --to, --by */
	OPTION_ROLLOUT = 16384,	  /* --over, --steps, --abort-if, --min-requests */
	OPTION_IMPORT = 32768,	  /* --as, --namespace */
};

struct command {
	const char *name;
	const char *arguments; /* "NAME", "[NAME]"; "": none */
	int least, most;       /* arguments */
	unsigned options;      /* OPTION_* */
	const char *summary;   /* one line */
	const char *help;      /* more of it */
	const char *examples;
	enum ctl_exit (*run)(const struct ctl_options *, char *const *arguments, int n);
};

extern const struct command commands[];
extern const size_t commands_n;

const struct command *command_find(const char *name); /* or NULL */
const char *command_nearest(const char *name);	      /* or NULL */

#endif
