/* main - the program `autoscaler`: it decides how many instances each revision has, and starts
 * and stops them (control.h).  The same binary is the keeper (keeper.h), and simulates a conf
 * file on a recorded load (simulate.h). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoscaler/control.h"
#include "autoscaler/keeper/keeper.h"
#include "autoscaler/relaunch.h"
#include "autoscaler/simulate/simulate.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/log_fd.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/strbuf.h"

static const struct daemon_usage usage = {
	.program = "autoscaler",
	.more = "       autoscaler [-c FILE] --simulate TRACE --revision SERVICE/REVISION\n"
		"                  [--start-time TIME] [--preset knative] [--timeline FILE]\n"
		"                  [--compare | --sweep KEY=VALUE,VALUE… [--svg FILE]]\n"
		"                  [--wait-costs LIST] [--from-day N]\n",
	.options =
		"      --simulate TRACE   replay recorded requests on the conf file and print\n"
		"                         what they cost and how long they waited\n"
		"      --revision NAME    the revision to simulate, SERVICE/REVISION\n"
		"      --start-time TIME  how long an instance takes to start, 1s without this\n"
		"                         option\n"
		"      --preset knative   decide by the rules and defaults of Knative\n"
		"      --timeline FILE    write a CSV line for each second\n"
		"      --compare          simulate each way to decide, and say what was best in\n"
		"                         hindsight\n"
		"      --wait-costs LIST  what a second of waiting is worth there (10,100)\n"
		"      --from-day N       count only what happens from the Nth day on\n"
		"      --sweep KEY=LIST   simulate each value of a key, and write a CSV table\n"
		"      --svg FILE         draw it\n",
};

static int
run(struct settings *s, char *const *argv)
{
	struct err e = {0};
	struct loop *loop = loop_new(&e);
	bool is_relaunched;
	struct autoscaler *a = loop == NULL ? NULL : control_open(loop, &s, argv, &e);

	if (a == NULL && e.code == ECANCELED) {
		log_info(NULL, "stopped", "why=%s", e.text);
		loop_free(&loop);
		settings_free(&s);
		return 0;
	}
	if (a == NULL) {
		log_error(NULL, "cannot start", "err=%s", e.text);
		loop_free(&loop);
		settings_free(&s);
		return 1;
	}
	loop_run(loop);
	is_relaunched = control_close(&a);
	loop_free(&loop);
	if (is_relaunched)
		relaunch_exec(argv);
	return is_relaunched ? 1 : 0;
}

static int
simulate(const struct simulate_args *a, const struct settings *s)
{
	struct strbuf out;
	struct err e = {0};
	int rc;

	strbuf_init(&out, 0);
	log_open(LOG_ERROR, (enum log_format)s->log_format, "autoscaler");
	rc = simulate_run(a, s, &out, &e);
	if (rc < 0)
		fprintf(stderr, "%s\n", e.text);
	else
		fputs(strbuf_str(&out), stdout);
	strbuf_fini(&out);
	return rc < 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct daemon_args args;
	struct simulate_args simulation = {.start_ns = SIMULATE_START_NS};
	struct settings *s;
	struct err e;
	int rc;

	log_fd_reserve_standard();
	if (keeper_is_asked(argc, argv))
		return keeper_main(argc, argv);
	daemon_args_parse(&args, argc, argv, &usage, simulate_options, simulate_option,
			  &simulation);
	if (simulate_check(&simulation, &e) < 0)
		daemon_args_mistake(&usage, &e);
	s = daemon_settings(args.conf, NULL);
	if (s == NULL)
		return 1;
	if (daemon_report_settings(&args, s)) {
		settings_free(&s);
		return 0;
	}
	if (simulation.trace != NULL) {
		rc = simulate(&simulation, s);
		settings_free(&s);
		return rc;
	}
	daemon_init();
	daemon_raise_nofile();
	log_open((enum log_level)s->log_level, (enum log_format)s->log_format, "autoscaler");
	return run(s, argv);
}
