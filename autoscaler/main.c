/* autoscaler - the control plane: decides how many instances each revision has, and
 * starts and stops them.  What it does is in control.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoscaler/control.h"
#include "autoscaler/keeper.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"

#define USAGE "[-c FILE] [-t] [-V]"

static struct settings *
load(const char *file)
{
	struct settings_errors errors = {NULL, 0};
	struct settings *s = settings_load(file, &errors);
	size_t i;

	for (i = 0; i < errors.n; i++)
		fprintf(stderr, "%s\n", errors.lines[i]);
	settings_errors_free(&errors);
	return s;
}

static int
run(struct settings *s)
{
	struct err e = {0};
	struct loop *loop = loop_new(&e);
	struct control *c = loop == NULL ? NULL : control_open(loop, &s, &e);

	if (c == NULL) {
		log_error(NULL, "cannot start", "err=%s", e.text);
		loop_free(&loop);
		settings_free(&s);
		return 1;
	}
	loop_run(loop);
	control_close(&c);
	loop_free(&loop);
	return 0;
}

int
main(int argc, char **argv)
{
	struct daemon_args args;
	struct settings *s;

	if (keeper_is_asked(argc, argv))
		return keeper_main(argc, argv);
	daemon_args_parse(&args, argc, argv, "autoscaler", USAGE, NULL, NULL, NULL);
	s = load(args.conf);
	if (s == NULL)
		return 1;
	if (args.is_check) {
		printf("%s: ok\n", args.conf);
		settings_free(&s);
		return 0;
	}
	daemon_init();
	daemon_raise_nofile();
	log_open((enum log_level)s->log_level, (enum log_format)s->log_format, "autoscaler");
	return run(s);
}
