#include "autoscaler/ctl/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/completion.h"
#include "autoscaler/ctl/local.h"
#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/reading.h"
#include "autoscaler/ctl/session.h"
#include "autoscaler/ctl/show.h"
#include "common/clk.h"
#include "common/conf_names.h"
#include "common/daemon.h"
#include "common/file.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define ANSWER_TIMEOUT (30 * CLK_S) /* of what is answered at once */
#define WAIT_TIMEOUT (60 * CLK_S)   /* of what is waited for */
#define UPGRADE_TIMEOUT (120 * CLK_S)
#define ROLLOUT_TIMEOUT (24 * 3600 * CLK_S)
#define TOP_INTERVAL CLK_S
#define APPLY_BYTES_MAX ((size_t)256 << 10) /* escaped, it fits into a request */
#define LAST_LINES 10			    /* of a version that does not start */
#define TOP_LINES_OTHER 4		    /* of the page: those that are not revisions */

/* What "NAME" or "NAME/REVISION" names. */
static const char *
revision_in(const char *name)
{
	const char *slash = name == NULL ? NULL : strchr(name, '/');

	return slash == NULL ? NULL : slash + 1;
}

/* The end of a request as a message and an exit status. */
static enum ctl_exit
report(struct session_end *end, enum ctl_format format)
{
	enum ctl_exit status = end->status;

	if (status != CTL_EXIT_OK)
		out_failure(end->message, end->next);
	else if (end->message[0] != '\0' && format != CTL_JSON)
		out_note("%s", end->message);
	session_end_fini(end);
	return status;
}

/* Ask for something, and show the answer. */
static enum ctl_exit
ask(const struct ctl_options *o, const struct session_request *r, enum show_kind kind,
    const char *revision)
{
	struct show *show = show_new(kind, o->format, revision, 0);
	struct session_end end;

	session_ask(o, r, show_line, show, &end);
	show_end(&show, &end);
	return report(&end, o->format);
}

/* --- to show --- */

static enum ctl_exit
run_list(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {.command = "list",
					  .name = n > 0 ? arguments[0] : NULL,
					  .timeout_ns = ANSWER_TIMEOUT};

	return ask(o, &r, SHOW_SERVICES, NULL);
}

static enum ctl_exit
run_describe(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {
		.command = "describe", .name = arguments[0], .timeout_ns = ANSWER_TIMEOUT};

	(void)n;
	return ask(o, &r, SHOW_SERVICE, revision_in(arguments[0]));
}

static enum ctl_exit
run_revisions(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {
		.command = "describe", .name = arguments[0], .timeout_ns = ANSWER_TIMEOUT};

	(void)n;
	return ask(o, &r, SHOW_REVISIONS, revision_in(arguments[0]));
}

static enum ctl_exit
run_why(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {
		.command = "why", .name = arguments[0], .timeout_ns = ANSWER_TIMEOUT};

	(void)n;
	return ask(o, &r, SHOW_WHY, revision_in(arguments[0]));
}

static enum ctl_exit
run_status(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {.command = "status", .timeout_ns = ANSWER_TIMEOUT};

	(void)arguments;
	(void)n;
	return ask(o, &r, SHOW_STATUS, NULL);
}

static enum ctl_exit
run_version(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {.command = "status", .timeout_ns = ANSWER_TIMEOUT};

	(void)arguments;
	(void)n;
	if (o->format != CTL_JSON)
		out_printf("activatorctl  %s\n", daemon_version);
	out_flush();
	return ask(o, &r, SHOW_VERSION, NULL);
}

/* One page of top, or one table where there is no terminal. */
static enum ctl_exit
show_load(const struct ctl_options *o, const char *name)
{
	const struct session_request r = {
		.command = "list", .name = name, .timeout_ns = ANSWER_TIMEOUT};
	bool is_page = o->format != CTL_JSON && out_is_terminal() && o->times != 1;
	unsigned lines = is_page ? out_lines() : 0;
	size_t most = lines > TOP_LINES_OTHER ? lines - TOP_LINES_OTHER : 0;
	struct show *show = show_new(SHOW_LOAD, o->format, NULL, most);
	struct session_end end;

	session_ask(o, &r, show_line, show, &end);
	if (is_page && end.status == CTL_EXIT_OK) {
		out_page();
		out_coloured(OUT_DIM, "activatorctl top: Ctrl-C ends it\n\n");
	}
	show_end(&show, &end);
	if (is_page && end.status == CTL_EXIT_OK)
		out_page_end();
	out_flush();
	return report(&end, o->format);
}

static enum ctl_exit
run_top(const struct ctl_options *o, char *const *arguments, int n)
{
	int64_t interval = o->interval_ns > 0 ? o->interval_ns : TOP_INTERVAL;
	enum ctl_exit status;
	uint32_t i;

	for (i = 0;; i++) {
		status = show_load(o, n > 0 ? arguments[0] : NULL);
		if (status != CTL_EXIT_OK || i + 1 == o->times)
			return status == CTL_EXIT_INTERRUPTED ? CTL_EXIT_OK : status;
		session_pause(interval);
		if (session_is_interrupted())
			return CTL_EXIT_OK; /* it is ended in no other way */
	}
}

/* --- to change --- */

static enum ctl_exit
change(const struct ctl_options *o, const char *command, const char *name, int64_t timeout_ns)
{
	const struct session_request r = {.command = command,
					  .name = name,
					  .state = o->state,
					  .options = o->sent,
					  .options_n = o->sent_n,
					  .is_waiting = !o->is_not_waiting,
					  .timeout_ns = o->timeout_ns > 0 ? o->timeout_ns
									  : timeout_ns};

	return ask(o, &r, SHOW_RESULTS, NULL);
}

static enum ctl_exit
run_wake(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)n;
	return change(o, "wake", arguments[0], WAIT_TIMEOUT);
}

static enum ctl_exit
run_sleep(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)n;
	return change(o, "sleep", arguments[0], WAIT_TIMEOUT);
}

static enum ctl_exit
run_wait(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)n;
	return change(o, "wait", arguments[0], WAIT_TIMEOUT);
}

static enum ctl_exit
run_reload(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)arguments;
	(void)n;
	return change(o, "reload", NULL, ANSWER_TIMEOUT);
}

static enum ctl_exit
run_upgrade(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)arguments;
	(void)n;
	return change(o, "upgrade", NULL, UPGRADE_TIMEOUT);
}

/* --- versions --- */

/* What was given behind an option that is sent: option_of(o, "tag=").  NULL: it was not given. */
static const char *
option_of(const struct ctl_options *o, const char *key)
{
	size_t i;

	for (i = 0; i < o->sent_n; i++)
		if (strncmp(o->sent[i], key, strlen(key)) == 0)
			return o->sent[i] + strlen(key);
	return NULL;
}

static void
put_settings(const struct ctl_options *o, bool is_of_service, struct strbuf *out)
{
	size_t i, k;

	for (k = 0; k < settings_keys_n; k++) {
		const struct key *key = &settings_keys[k];
		bool is_list = value_is_list(key);
		size_t n = 0;

		for (i = 0; i < o->settings_n; i++) {
			if (o->settings[i].key != key ||
			    is_of_service != ((key->where & IN_REVISION) == 0))
				continue;
			if (n == 0 || !is_list)
				strbuf_addf(out, "%s = %s", key->name, is_list ? "{" : "");
			else
				strbuf_adds(out, ", ");
			value_format_string(o->settings[i].value, out);
			strbuf_adds(out, is_list ? "" : "\n");
			n++;
		}
		strbuf_adds(out, n > 0 && is_list ? "}\n" : "");
	}
}

/* The template as the text of a conf file. */
static void
put_template(const struct ctl_options *o, char *const *arguments, int n, struct strbuf *out)
{
	int i;

	strbuf_adds(out, "service ");
	value_format_string(arguments[0], out);
	strbuf_adds(out, " {\n");
	put_settings(o, true, out);
	strbuf_adds(out, "revision \"template\" {\n");
	put_settings(o, false, out);
	for (i = 1; i < n; i++) {
		strbuf_adds(out, i == 1 ? "command = {" : ", ");
		value_format_string(arguments[i], out);
	}
	strbuf_adds(out, n > 1 ? "}\n}\n}\n" : "}\n}\n");
}

/* What `deploy` has done. */
struct deployed {
	char *revision;	  /* "shop/shop-00002"; NULL: nothing yet */
	int64_t began_ns; /* wall clock */
	bool is_new;	  /* it has made it */
	bool is_new_service;
	unsigned percent; /* that the revision has now */
	int64_t generation;
	struct show *show; /* while a request is under way */
};

static void
take_deployed(const struct session_line *line, void *arg)
{
	struct deployed *d = arg;
	char *service = session_text(line->root, "service");
	char *name = session_text(line->root, "revision");

	if (strcmp(line->type, "deployed") == 0 && service != NULL && name != NULL) {
		free(d->revision);
		d->revision = xasprintf("%s/%s", service, name);
		d->is_new |= session_bool(line->root, "new");
		d->is_new_service |= session_bool(line->root, "new_service");
		d->percent = (unsigned)session_number(line->root, "percent", 0);
		d->generation = (int64_t)session_number(line->root, "generation", 0);
	}
	show_line(line, d->show);
	free(service);
	free(name);
}

/* One of the requests of a deploy that is tried. */
static enum ctl_exit
ask_step(const struct ctl_options *o, const struct session_request *r, struct deployed *d)
{
	struct session_end end;

	d->show = show_new(SHOW_STEP, o->format, NULL, 0);
	session_ask(o, r, take_deployed, d, &end);
	if (strcmp(r->command, "wake") == 0) { /* what is to be done next is said later */
		free(end.next);
		end.next = NULL;
	}
	show_end(&d->show, &end);
	if (end.status == CTL_EXIT_OK && strcmp(r->command, "wake") != 0) {
		session_end_fini(&end);
		return CTL_EXIT_OK;
	}
	return report(&end, o->format);
}

/* Send it without percent and tag, but as one that is to be tried (or not any more). */
static enum ctl_exit
deploy_aside(const struct ctl_options *o, const struct session_request *r, bool is_tried,
	     struct deployed *d)
{
	struct session_request aside = *r;
	char *options[3], name[200], percent[] = "percent=keep", try[] = "try=1";
	const char *given = option_of(o, "revision=");
	size_t n = 0;

	options[n++] = percent;
	if (is_tried)
		options[n++] = try;
	if (given != NULL) {
		snprintf(name, sizeof name, "revision=%s", given);
		options[n++] = name;
	}
	aside.options = options;
	aside.options_n = n;
	return ask_step(o, &aside, d);
}

/* The first version of a service does not start: unmake the service, unless another command has
 * changed it meanwhile. */
static void
take_back_service(const struct ctl_options *o, const char *name, const struct deployed *d)
{
	char *option = xasprintf("generation=%lld", (long long)d->generation);
	const struct session_request r = {.command = "delete",
					  .name = name,
					  .options = &option,
					  .options_n = 1,
					  .timeout_ns = ANSWER_TIMEOUT};
	struct deployed ignored = {.revision = NULL};
	struct ctl_options quiet = *o;
	struct session_end end;

	quiet.format = CTL_TABLE;
	ignored.show = show_new(SHOW_STEP, quiet.format, NULL, 0);
	session_ask(&quiet, &r, take_deployed, &ignored, &end);
	show_end(&ignored.show, &end);
	if (end.status == CTL_EXIT_OK)
		out_error("the service %s is not made: its first version does not start", name);
	else
		out_error("%s does not start, and stays: %s", d->revision, end.message);
	session_end_fini(&end);
	free(option);
}

/* It does not start. */
static void
take_back(const struct ctl_options *o, const struct session_request *r, struct deployed *d)
{
	struct ctl_options quiet = *o;

	logs_show_last(o, d->revision, LAST_LINES, d->began_ns);
	if (d->is_new_service) {
		take_back_service(o, r->name, d);
		return;
	}
	quiet.format = CTL_TABLE; /* the start has had its JSON */
	if (deploy_aside(&quiet, r, false, d) != CTL_EXIT_OK)
		return;
	if (d->percent > 0)
		out_error("%s keeps the %u%% of the traffic that it had; activatorctl describe %s",
			  d->revision, d->percent, d->revision);
	else
		out_error("%s gets no traffic; activatorctl delete %s", d->revision, d->revision);
}

/* Make the revision without traffic, and see whether it starts.  Only then it gets what was asked
 * for. */
static enum ctl_exit
try_deploy(const struct ctl_options *o, const struct session_request *r, struct deployed *d)
{
	enum ctl_exit status = deploy_aside(o, r, true, d);
	struct session_request wake = {
		.command = "wake", .is_waiting = true, .timeout_ns = o->wait_ns};

	if (status != CTL_EXIT_OK || d->revision == NULL)
		return status;
	wake.name = d->revision;
	status = ask_step(o, &wake, d);
	if (status == CTL_EXIT_INTERRUPTED)
		out_error("%s is made, and has %u%% of the traffic", d->revision, d->percent);
	else if (status != CTL_EXIT_OK)
		take_back(o, r, d);
	return status;
}

/* The options of the last request: those that were given, and what the trial has made. */
static size_t
put_options(const struct ctl_options *o, const struct deployed *d, char **options)
{
	static char made[] = "made=1", made_service[] = "made_service=1";
	size_t n = o->sent_n;

	if (n > 0)
		memcpy(options, o->sent, n * sizeof *options);
	if (d->is_new)
		options[n++] = made;
	if (d->is_new_service)
		options[n++] = made_service;
	return n;
}

static enum ctl_exit
run_deploy(const struct ctl_options *o, char *const *arguments, int n)
{
	struct session_request r = {
		.command = "deploy", .name = arguments[0], .timeout_ns = ANSWER_TIMEOUT};
	char **options = xcalloc(o->sent_n + 2, sizeof *options);
	struct deployed d = {.began_ns = clk_wall()};
	enum ctl_exit status = CTL_EXIT_OK;
	struct strbuf text;

	strbuf_init(&text, 0);
	put_template(o, arguments, n, &text);
	r.text = strbuf_str(&text);
	if (o->wait_ns > 0)
		status = try_deploy(o, &r, &d);
	r.options_n = put_options(o, &d, options);
	r.options = options;
	if (status == CTL_EXIT_OK)
		status = ask(o, &r, SHOW_RESULTS, NULL);
	free(options);
	free(d.revision);
	strbuf_fini(&text);
	return status;
}

static enum ctl_exit
run_traffic(const struct ctl_options *o, char *const *arguments, int n)
{
	struct session_request r = {
		.command = "traffic", .name = arguments[0], .timeout_ns = ANSWER_TIMEOUT};
	char **all = xcalloc(o->sent_n + (size_t)n, sizeof *all);
	enum ctl_exit status;
	size_t i;

	for (i = 0; i < o->sent_n; i++)
		all[i] = xstrdup(o->sent[i]);
	for (; i + 1 < o->sent_n + (size_t)n; i++)
		all[i] = xasprintf("traffic=%s", arguments[1 + i - o->sent_n]);
	r.options = all;
	r.options_n = i;
	if (r.options_n == 0) {
		out_error(
			"expected REVISION=PERCENT, --tag or --untag; activatorctl traffic --help");
		status = CTL_EXIT_USAGE;
	} else {
		status = ask(o, &r, SHOW_RESULTS, NULL);
	}
	for (i = 0; i < r.options_n; i++)
		free(all[i]);
	free(all);
	return status;
}

static enum ctl_exit
run_rollback(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)n;
	return change(o, "rollback", arguments[0], ANSWER_TIMEOUT);
}

/* NAME begins a rollout; status NAME and other words before NAME concern it. */
static enum ctl_exit
run_rollout(const struct ctl_options *o, char *const *arguments, int n)
{
	const char *action = n == 1 ? "start" : arguments[0];
	bool is_start = n == 1, is_wait = strcmp(action, "wait") == 0;
	int64_t timeout = is_start || is_wait ? ROLLOUT_TIMEOUT : ANSWER_TIMEOUT;
	const struct session_request r = {.command = "rollout",
					  .name = arguments[n - 1],
					  .state = action,
					  .options = o->sent,
					  .options_n = o->sent_n,
					  .is_waiting = is_wait || (is_start && !o->is_not_waiting),
					  .timeout_ns = o->timeout_ns > 0 ? o->timeout_ns
									  : timeout};

	return ask(o, &r, strcmp(action, "status") == 0 ? SHOW_ROLLOUT : SHOW_RESULTS, NULL);
}

static enum ctl_exit
run_delete(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)n;
	return change(o, "delete", arguments[0], ANSWER_TIMEOUT);
}

static enum ctl_exit
run_apply(const struct ctl_options *o, char *const *arguments, int n)
{
	struct session_request r = {.command = "apply",
				    .options = o->sent,
				    .options_n = o->sent_n,
				    .timeout_ns = ANSWER_TIMEOUT};
	const char *path = o->file != NULL && strcmp(o->file, "-") == 0 ? "/dev/stdin" : o->file;
	enum ctl_exit status;
	struct err e = {0};
	char *text;

	(void)arguments;
	(void)n;
	if (path == NULL) {
		out_error("expected -f FILE; activatorctl apply --help");
		return CTL_EXIT_USAGE;
	}
	text = file_read(path, APPLY_BYTES_MAX, NULL, &e);
	if (text == NULL) {
		out_error("%s", e.text);
		return CTL_EXIT_USAGE;
	}
	r.text = text;
	status = ask(o, &r, SHOW_RESULTS, NULL);
	free(text);
	return status;
}

static enum ctl_exit
run_export(const struct ctl_options *o, char *const *arguments, int n)
{
	const struct session_request r = {.command = "export",
					  .name = n > 0 ? arguments[0] : NULL,
					  .timeout_ns = ANSWER_TIMEOUT};

	return ask(o, &r, SHOW_EXPORT, NULL);
}

static enum ctl_exit
run_completion(const struct ctl_options *o, char *const *arguments, int n)
{
	(void)o;
	(void)n;
	if (completion_write(arguments[0]) == 0)
		return CTL_EXIT_OK;
	out_error("expected bash, zsh or fish, got \"%s\"", arguments[0]);
	return CTL_EXIT_USAGE;
}

/* --- the table --- */

#define CHANGES (OPTION_OUTPUT | OPTION_TIMEOUT)

const struct command commands[] = {
	{"list", "[NAME]", 0, 1, OPTION_OUTPUT, "show all services",
	 "A line for each service: "
	 "what it is doing, its instances that are ready and those\nthat are wanted, requests that "
	 "are parked and in flight, and how its traffic is split.\n",
	 "  activatorctl list\n"
	 "  activatorctl list -o wide\n"
	 "  activatorctl list -o json | jq -r '.services[].name'\n",
	 run_list},
	{"describe", "NAME[/REVISION]", 1, 1, OPTION_OUTPUT, "show a service with its instances",
	 "Its hosts, where it is configured, and for each revision what runs, why so many\n"
	 "instances are wanted, and each instance.\n",
	 "  activatorctl describe shop\n"
	 "  activatorctl describe shop/v2\n",
	 run_describe},
	{"revisions", "NAME", 1, 1, OPTION_OUTPUT, "show the revisions of a service",
	 "A line for each revision: its part of the traffic, its tags, and what it is doing.\n",
	 "  activatorctl revisions shop\n"
	 "  activatorctl revisions shop -o name\n",
	 run_revisions},
	{"why", "NAME[/REVISION]", 1, 1, OPTION_OUTPUT,
	 "explain how many instances are wanted, and why",
	 "The rule that decided it, what was learned, and the last decisions.\n",
	 "  activatorctl why shop\n", run_why},
	{"top", "[NAME]", 0, 1, OPTION_OUTPUT | OPTION_TOP, "watch what all revisions are doing",
	 "A table that is drawn again each second: instances, requests, rate, latency, and the\n"
	 "rule that decided. Ctrl-C ends it. -n 1 prints it once.\n",
	 "  activatorctl top\n"
	 "  activatorctl top --interval 5s\n"
	 "  activatorctl top -n 1\n",
	 run_top},
	{"wake", "NAME[/REVISION]", 1, 1, CHANGES | OPTION_NO_WAIT,
	 "start an instance of a service",
	 "Starts an instance of each revision that has traffic, unless one runs, and waits until\n"
	 "it answers. It stays as long as after a request. A start that fails is an error, with\n"
	 "the reason.\n",
	 "  activatorctl wake shop\n"
	 "  activatorctl wake shop/v2 --timeout 5m\n"
	 "  activatorctl wake shop --no-wait\n",
	 run_wake},
	{"sleep", "NAME[/REVISION]", 1, 1, CHANGES | OPTION_NO_WAIT,
	 "stop the instances of an idle service",
	 "Stops all instances, if no request is in flight or parked, and waits for that. The next\n"
	 "request starts one again; until then min_scale does not apply.\n",
	 "  activatorctl sleep shop\n", run_sleep},
	{"wait", "NAME[/REVISION]", 1, 1, CHANGES | OPTION_FOR,
	 "wait until a service is awake or asleep",
	 "Changes nothing. awake: an instance of each revision with traffic answers. asleep: there\n"
	 "is none.\n",
	 "  activatorctl wait shop\n"
	 "  activatorctl wait shop --for asleep --timeout 10m\n",
	 run_wait},
	{"deploy", "NAME [-- COMMAND…]", 1, 1000,
	 OPTION_OUTPUT | OPTION_DEPLOY | OPTION_TAG | OPTION_GENERATION,
	 "make a new version of a service",
	 "Makes a revision of the command and the options, and gives it the traffic. A service that\n"
	 "there is not yet needs --host. Options are the keys of the conf file for services and\n"
	 "revisions, --max-scale 5 for max_scale = 5; what is not given has its default. A template\n"
	 "that equals an existing revision makes no new one. With --wait it gets traffic only once an\n"
	 "instance of it answers, and if its start fails, it gets none.\n",
	 "  activatorctl deploy shop --host shop.example.com -- /srv/shop/bin/shop --port '$PORT'\n"
	 "  activatorctl deploy shop --traffic 10 --tag next -- /srv/shop/bin/shop2 --port '$PORT'\n"
	 "  activatorctl deploy shop --no-traffic --max-scale 5 --env MODE=test -- ./shop3\n",
	 run_deploy},
	{"traffic", "NAME [REVISION=PERCENT…]", 1, 100,
	 OPTION_OUTPUT | OPTION_TAG | OPTION_UNTAG | OPTION_GENERATION,
	 "split the traffic of a service over its revisions",
	 "The percents sum to 100; revisions that are not named get none. latest stands for the\n"
	 "newest one. With a tag, a revision is reached by the host TAG-HOST, whatever its percent.\n",
	 "  activatorctl traffic shop shop-00001=90 latest=10\n"
	 "  activatorctl traffic shop --tag shop-00002=next\n"
	 "  activatorctl traffic shop --untag next\n",
	 run_traffic},
	{"rollback", "NAME", 1, 1, OPTION_OUTPUT | OPTION_TO | OPTION_GENERATION,
	 "give all traffic to an earlier revision",
	 "To the one that was made before the one that has most of the traffic and that no rollout has\n"
	 "rejected, or to that of --to. A rollout that is under way is aborted.\n",
	 "  activatorctl rollback shop\n"
	 "  activatorctl rollback shop --to shop-00001\n",
	 run_rollback},
	{"rollout", "[WORD] NAME", 1, 2, CHANGES | OPTION_NO_WAIT | OPTION_TO | OPTION_ROLLOUT,
	 "move the traffic to a revision in steps, and back if it fails",
	 "Gives the newest revision, or that of --to, its percents one after another, and waits until\n"
	 "it has all. A step follows once its time is over, the revision has answered enough\n"
	 "requests, and the instances for the next percent are ready. If a bound of --abort-if is\n"
	 "broken, or the revision cannot start, the percents are put back, and the exit status is 1.\n"
	 "Ctrl-C ends the waiting alone; the rollout goes on.\n"
	 "WORD is status (show the newest one), wait, pause, resume or abort.\n",
	 "  activatorctl rollout shop --over 10m --abort-if 'errors>1%' --abort-if 'p99>500ms'\n"
	 "  activatorctl rollout shop --to shop-00003 --over 1h --steps 5,25,100 --no-wait\n"
	 "  activatorctl rollout status shop\n"
	 "  activatorctl rollout wait shop\n"
	 "  activatorctl rollout abort shop\n",
	 run_rollout},
	{"delete", "NAME[/REVISION]", 1, 1, OPTION_OUTPUT | OPTION_GENERATION,
	 "delete a service, or a revision without traffic",
	 "Only what activatorctl has made. Instances end once they are idle.\n",
	 "  activatorctl delete shop/shop-00001\n"
	 "  activatorctl delete shop\n",
	 run_delete},
	{"apply", "-f FILE", 0, 0, OPTION_OUTPUT | OPTION_FILE, "make services as a file has them",
	 "The file has services as a conf file has them; - stands for standard input. What is like\n"
	 "that already stays as it is. All services are checked before the first is changed.\n",
	 "  activatorctl apply -f shop.conf\n"
	 "  activatorctl apply -f shop.conf --dry-run\n"
	 "  activatorctl --socket OTHER export | activatorctl apply -f -\n",
	 run_apply},
	{"export", "[NAME]", 0, 1, OPTION_OUTPUT, "write the services that activatorctl made",
	 "As the text of a conf file, with all revisions; apply takes it back.\n",
	 "  activatorctl export >services.conf\n"
	 "  activatorctl export shop\n",
	 run_export},
	{"import", "[FILE…]", 0, 1000, OPTION_IMPORT, "translate what KEDA and Sablier have",
	 "Reads YAML or JSON: KEDA's HTTPScaledObject and InterceptorRoute, with the ScaledObject,\n"
	 "Deployment and Service that go with them; Deployments and Compose files with labels of\n"
	 "Sablier, with the Ingress or HTTPRoute that leads to them. Without a file, standard input.\n"
	 "Writes kubectl commands that annotate Deployments, or with --as conf, as always for\n"
	 "Compose, sections of the conf file. What has no equal is said with its line, and the exit\n"
	 "status is 1 where something is to be done by hand. Nothing is changed, and no autoscaler is\n"
	 "asked.\n",
	 "  activatorctl import keda.yaml --as conf >services.conf\n"
	 "  activatorctl import compose.yml >services.conf\n"
	 "  kubectl get httpso,scaledobject,deploy,svc -A -o yaml | activatorctl import\n",
	 run_import},
	{"logs", "NAME[/REVISION]", 1, 1, OPTION_OUTPUT | OPTION_LOGS | OPTION_SINCE,
	 "show what the instances of a service have written",
	 "The last lines that its programs wrote to standard output and error, each behind the\n"
	 "instance, also of instances that have ended; -o wide puts the time before them. -f goes on\n"
	 "with new ones, through starts and through a restart of the autoscaler.\n",
	 "  activatorctl logs shop\n"
	 "  activatorctl logs shop/shop-00002 -f\n"
	 "  activatorctl logs shop --since 10m --tail 100 -o wide\n",
	 run_logs},
	{"usage", "[NAME]", 0, 1, OPTION_OUTPUT | OPTION_SINCE | OPTION_USAGE | OPTION_TO,
	 "show what services have used, and what that has saved",
	 "Since the beginning of today, or as --since, --from and --to say, in whole hours of UTC: the\n"
	 "hours that instances ran, the hours that one instance would have run all the time, and the\n"
	 "difference; requests, wakes, how long requests waited in sum, and CPU time. With a name,\n"
	 "of its revisions; -o wide has more. The conf file's instance_hour_price adds costs.\n",
	 "  activatorctl usage\n"
	 "  activatorctl usage shop --since 7d --by day\n"
	 "  activatorctl usage --from 2026-11-01 --to 2026-12-01 --by owner -o json\n",
	 run_usage},
	{"audit", "[NAME]", 0, 1, OPTION_OUTPUT | OPTION_SINCE,
	 "show what has changed, by whom, and what came of it",
	 "A line for each change of a number of instances, of versions, routes and rollouts, of the\n"
	 "conf file and of certificates: the rule or command that has caused it, and whether it is\n"
	 "done. A change without a result is under way. With a name, only those of that service or\n"
	 "revision; -o wide has ids and times; -o json has all that is written down, a record a line.\n",
	 "  activatorctl audit\n"
	 "  activatorctl audit shop --since 24h\n"
	 "  activatorctl audit shop/shop-00002 -o json\n",
	 run_audit},
	{"reload", "", 0, 0, CHANGES, "read the conf file again",
	 "The autoscaler, then each activator. With a mistake in the file nothing changes, and\n"
	 "each mistake is named with its line.\n",
	 "  activatorctl reload\n", run_reload},
	{"upgrade", "", 0, 0, CHANGES, "replace the activators by the program now on disk",
	 "Each activator starts the new program, hands over its listening sockets, and finishes\n"
	 "what it has. The autoscaler's own upgrade is a restart, which stops no instance.\n",
	 "  activatorctl upgrade\n", run_upgrade},
	{"status", "", 0, 0, OPTION_OUTPUT, "show the autoscaler and the activators",
	 "Version, conf file, counts of services and instances, and each activator.\n",
	 "  activatorctl status\n"
	 "  activatorctl status -o json\n",
	 run_status},
	{"version", "", 0, 0, OPTION_OUTPUT, "show the versions of all programs",
	 "Of this program, of the autoscaler, and of each activator that is connected.\n",
	 "  activatorctl version\n", run_version},
	{"completion", "bash|zsh|fish", 1, 1, 0, "write a completion script for a shell",
	 "`make install` installs these scripts, too.\n",
	 "  source <(activatorctl completion bash)\n"
	 "  activatorctl completion fish >~/.config/fish/completions/activatorctl.fish\n",
	 run_completion},
};
const size_t commands_n = ARRAY_LEN(commands);

const struct command *
command_find(const char *name)
{
	size_t i;

	for (i = 0; i < commands_n; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

const char *
command_nearest(const char *name)
{
	const char *names[ARRAY_LEN(commands)];
	size_t i;

	for (i = 0; i < commands_n; i++)
		names[i] = commands[i].name;
	return conf_word_nearest(name, names, commands_n);
}
