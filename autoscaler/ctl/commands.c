#include "autoscaler/ctl/commands.h"

#include <stdio.h>
#include <string.h>

#include "autoscaler/ctl/completion.h"
#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/session.h"
#include "autoscaler/ctl/show.h"
#include "common/clk.h"
#include "common/conf_names.h"
#include "common/daemon.h"

#define ANSWER_TIMEOUT (30 * CLK_S) /* of what is answered at once */
#define WAIT_TIMEOUT (60 * CLK_S)   /* of what is waited for */
#define UPGRADE_TIMEOUT (120 * CLK_S)
#define TOP_INTERVAL CLK_S
#define TOP_LINES_OTHER 4 /* of the page: those that are not revisions */

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
