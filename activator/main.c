/* activator - an HTTP proxy that holds the requests for a service which does not run, and
 * passes them on the moment an instance of the service answers.  control.h is the main thread,
 * worker.h the threads that serve requests, xfer.h the way of one request. */
#include <stdio.h>

#include "activator/certificates.h"
#include "activator/control.h"
#include "activator/takeover.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/log_fd.h"
#include "common/loop.h"
#include "common/settings.h"

static int
run(struct settings **s, char *const *argv, struct takeover **takeover)
{
	struct err e = {0};
	struct loop *loop = loop_new_precise(&e); /* the prober's millisecond is one */
	struct activator *a = loop == NULL ? NULL : control_open(loop, s, argv, *takeover, &e);
	int rc;

	if (a == NULL) {
		log_error(NULL, "cannot start", "err=%s", e.text);
		if (*takeover != NULL)
			takeover_fail(*takeover, e.text);
		takeover_free(takeover);
		loop_free(&loop);
		return 1;
	}
	loop_run(loop);
	rc = control_close(&a);
	takeover_free(takeover); /* it has a timer on the loop */
	loop_free(&loop);
	return rc;
}

/* -t checks the files of the certificates, too: they are the activator's. */
static int
check_certificates(const struct settings *s)
{
	struct settings_errors errors = {NULL, 0}, warnings = {NULL, 0};
	int rc = certificates_check(s, &errors, &warnings);
	size_t i;

	for (i = 0; i < warnings.n; i++)
		fprintf(stderr, "%s\n", warnings.lines[i]);
	for (i = 0; i < errors.n; i++)
		fprintf(stderr, "%s\n", errors.lines[i]);
	settings_errors_free(&warnings);
	settings_errors_free(&errors);
	return rc;
}

int
main(int argc, char **argv)
{
	static const struct daemon_usage usage = {"activator", "", ""};
	struct daemon_args args;
	struct takeover *takeover;
	struct settings *s;
	struct err e = {0};
	int rc = 0;

	log_fd_reserve_standard();
	daemon_args_parse(&args, argc, argv, &usage, NULL, NULL, NULL);
	takeover = takeover_new();
	s = daemon_settings(args.conf, &e);
	if (s == NULL) {
		if (takeover != NULL)
			takeover_fail(takeover, e.text);
		takeover_free(&takeover);
		return 1;
	}
	if (args.is_check && check_certificates(s) < 0) {
		rc = 1;
	} else if (!daemon_report_settings(&args, s)) {
		daemon_init();
		log_open((enum log_level)s->log_level, (enum log_format)s->log_format, "activator");
		rc = run(&s, argv, &takeover);
	}
	settings_free(&s);
	takeover_free(&takeover);
	return rc;
}
