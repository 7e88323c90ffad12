#include "autoscaler/ctl/complete.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl/commands.h"
#include "autoscaler/ctl/out.h"
#include "autoscaler/ctl/session.h"
#include "common/clk.h"

#define ANSWER_TIMEOUT (2 * CLK_S)
#define SUMMARY_MAX 60 /* bytes of the first sentence of a key's text */

/* What stands behind an option. */
enum value {
	VALUE_NONE,	/* it takes none */
	VALUE_ANY,	/* nothing that is known here */
	VALUE_FILE,	/* a path */
	VALUE_WORDS,	/* one of option.words */
	VALUE_REVISION, /* of the service */
	VALUE_TAG,	/* of the service */
	VALUE_NEW_TAG	/* REVISION=TAG, or (deploy) a tag */
};

struct option_form {
	const char *name;
	char letter;
	unsigned commands; /* OPTION_*: those that have it; 0: all */
	enum value value;
	const char *words; /* "wide name json" */
	const char *text;
};

static const struct option_form options[] = {
	{"conf", 'c', 0, VALUE_FILE, NULL, "the conf file of the autoscaler"},
	{"socket", 0, 0, VALUE_FILE, NULL, "its control socket"},
	{"output", 'o', OPTION_OUTPUT, VALUE_WORDS, "wide name json", "form of the answer"},
	{"quiet", 'q', 0, VALUE_NONE, NULL, "no progress"},
	{"help", 'h', 0, VALUE_NONE, NULL, "help, with examples"},
	{"version", 'V', 0, VALUE_NONE, NULL, "the version of this program"},
	{"no-wait", 0, OPTION_NO_WAIT, VALUE_NONE, NULL, "return once it has begun"},
	{"timeout", 0, OPTION_TIMEOUT, VALUE_ANY, NULL, "how long to wait"},
	{"for", 0, OPTION_FOR, VALUE_WORDS, "awake asleep", "what to wait for"},
	{"interval", 0, OPTION_TOP, VALUE_ANY, NULL, "time between two tables"},
	{NULL, 'n', OPTION_TOP, VALUE_ANY, NULL, "how many tables"},
	{"file", 'f', OPTION_FILE, VALUE_FILE, NULL, "what to apply"},
	{"dry-run", 0, OPTION_FILE, VALUE_NONE, NULL, "say what would change"},
	{"follow", 'f', OPTION_LOGS, VALUE_NONE, NULL, "go on with new lines"},
	{"tail", 0, OPTION_LOGS, VALUE_ANY, NULL, "the last lines alone"},
	{"since", 0, OPTION_SINCE, VALUE_ANY, NULL, "not what is older"},
	{"from", 0, OPTION_USAGE, VALUE_ANY, NULL, "from this time on"},
	{"by", 0, OPTION_USAGE, VALUE_WORDS,
	 "hour day month total service revision owner cost_center", "what to add up by"},
	{"to", 0, OPTION_TO, VALUE_REVISION, NULL, "which revision; of usage: until when"},
	{"host", 0, OPTION_DEPLOY, VALUE_ANY, NULL, "a host of the service"},
	{"env", 0, OPTION_DEPLOY, VALUE_ANY, NULL, "an environment variable"},
	{"revision", 0, OPTION_DEPLOY, VALUE_ANY, NULL, "its name"},
	{"traffic", 0, OPTION_DEPLOY, VALUE_ANY, NULL, "the percent that it gets"},
	{"no-traffic", 0, OPTION_DEPLOY, VALUE_NONE, NULL, "it gets none"},
	{"wait", 0, OPTION_DEPLOY, VALUE_ANY, NULL, "traffic once it answers"},
	{"tag", 0, OPTION_TAG, VALUE_NEW_TAG, NULL, "name a revision"},
	{"untag", 0, OPTION_UNTAG, VALUE_TAG, NULL, "remove a tag"},
	{"generation", 0, OPTION_GENERATION, VALUE_ANY, NULL, "only if it is this one"},
	{"over", 0, OPTION_ROLLOUT, VALUE_ANY, NULL, "how long all steps take"},
	{"steps", 0, OPTION_ROLLOUT, VALUE_WORDS, "1,10,50,100", "the percents"},
	{"abort-if", 0, OPTION_ROLLOUT, VALUE_WORDS, "errors>1% p99>500ms p95>1.5x", "a bound"},
	{"min-requests", 0, OPTION_ROLLOUT, VALUE_ANY, NULL, "that each step waits for"},
	{"as", 0, OPTION_IMPORT, VALUE_WORDS, "annotations conf", "what to write"},
	{"namespace", 0, OPTION_IMPORT, VALUE_ANY, NULL, "of objects that name none"},
};

/* The words before the one that is completed. */
struct typed_line {
	struct ctl_options where;      /* conf and socket alone */
	const struct command *command; /* NULL: there is none yet */
	const char *arguments[2];      /* of the command, the first ones */
	size_t n;		       /* arguments, all of them */
	bool is_help;		       /* the command is `help` */
	bool is_behind_dashes;	       /* "--" */
	struct option_form pending;    /* its value is completed; value NONE: it is not */
	const char *word;
};

static void
offer(const struct typed_line *l, const char *word, const char *text)
{
	if (strncmp(word, l->word, strlen(l->word)) != 0)
		return;
	out_printf("%s%s%s\n", word, text == NULL ? "" : "\t", text == NULL ? "" : text);
}

/* before is put in front of each. */
static void
offer_words(const struct typed_line *l, const char *before, const char *words)
{
	while (*words != '\0') {
		size_t n = strcspn(words, " |");
		char *word = xasprintf("%s%.*s", before, (int)n, words);

		offer(l, word, NULL);
		free(word);
		words += n + strspn(words + n, " |");
	}
}

/* --- options --- */

static bool
has_option(const struct command *c, const struct option_form *o)
{
	if (c == NULL) /* those that all commands have may stand before it */
		return o->commands == 0 || (o->commands & (OPTION_OUTPUT | OPTION_TIMEOUT)) != 0;
	return o->letter != 'V' && (o->commands == 0 || (c->options & o->commands) != 0);
}

static bool
is_key_of_deploy(const struct key *key)
{
	return (key->where & (IN_SERVICE | IN_REVISION)) != 0;
}

/* The option's name in the form that is typed: max-scale; the caller's. */
static char *
dashed(const char *name)
{
	char *text = xstrdup(name), *at;

	for (at = text; (at = strchr(at, '_')) != NULL; at++)
		*at = '-';
	return text;
}

/* The option that a word is, up to its "=".  False: none that is known. */
static bool
find_option(const struct command *c, const char *word, struct option_form *out)
{
	size_t n = strcspn(word, "="), i;

	for (i = 0; i < ARRAY_LEN(options); i++) {
		const struct option_form *o = &options[i];
		bool is_long = o->name != NULL && n == strlen(o->name) + 2 &&
			       strncmp(word, "--", 2) == 0 &&
			       strncmp(word + 2, o->name, n - 2) == 0;
		bool is_short = n == 2 && word[0] == '-' && word[1] == o->letter;

		if ((is_long || is_short) && (c == NULL || has_option(c, o))) {
			*out = *o;
			return true;
		}
	}
	for (i = 0; i < settings_keys_n && strncmp(word, "--", 2) == 0; i++) {
		const struct key *key = &settings_keys[i];
		char *name = dashed(key->name);
		bool is = is_key_of_deploy(key) && strlen(name) == n - 2 &&
			  (strncmp(word + 2, name, n - 2) == 0 ||
			   strncmp(word + 2, key->name, n - 2) == 0);

		free(name);
		if (!is)
			continue;
		*out = (struct option_form){
			.name = key->name,
			.value = key->enums != NULL		       ? VALUE_WORDS
				 : key->type == KEY_BOOL	       ? VALUE_WORDS
				 : strcmp(key->name, "directory") == 0 ? VALUE_FILE
								       : VALUE_ANY,
			.words = key->enums != NULL ? key->enums : "true false"};
		return true;
	}
	return false;
}

static void
offer_keys(const struct typed_line *l)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *key = &settings_keys[i];
		size_t n = strcspn(key->doc, ".:,;");
		char *name = dashed(key->name), *word = xasprintf("--%s", name);
		char *text = xasprintf("%.*s", (int)MIN(n, (size_t)SUMMARY_MAX), key->doc);

		/* --host and --env stand for two of them. */
		if (is_key_of_deploy(key) && strcmp(key->name, "command") != 0)
			offer(l, word, text);
		free(text);
		free(word);
		free(name);
	}
}

static void
offer_options(const struct typed_line *l)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(options); i++) {
		const struct option_form *o = &options[i];
		char *word = o->name != NULL ? xasprintf("--%s", o->name)
					     : xasprintf("-%c", o->letter);

		if (has_option(l->command, o))
			offer(l, word, o->text);
		free(word);
	}
	if (l->command != NULL && (l->command->options & OPTION_DEPLOY) != 0)
		offer_keys(l);
}

/* --- services, revisions and tags --- */

enum names { NAMES_SERVICES, NAMES_REVISIONS, NAMES_TAGS };

struct name_search {
	const struct typed_line *l;
	enum names what;
	const char *service;	     /* of the revisions and tags; NULL: all */
	const char *before, *behind; /* put around each */
};

static void
offer_name(const struct name_search *s, const char *name, const char *text)
{
	char *word = xasprintf("%s%s%s", s->before, name, s->behind);

	offer(s->l, word, text);
	free(word);
}

static void
offer_tags(const struct name_search *s, const struct jget *revision, const char *name)
{
	char *tags = session_list(revision, "tags", "\n"), *at = tags;

	while (*at != '\0') {
		size_t n = strcspn(at, "\n");
		char *tag = xasprintf("%.*s", (int)n, at);

		offer_name(s, tag, name);
		free(tag);
		at += n + (at[n] == '\n');
	}
	free(tags);
}

static void
offer_revisions(const struct name_search *s, const struct jget *service)
{
	struct jget array, revision;
	struct err e;
	size_t n = 0, i;

	if (jget_array(service, "revisions", JGET_MAY, &array, &n, &e) < 0)
		return;
	for (i = 0; i < n; i++) {
		char *name, *text;

		if (jget_element(&array, i, &revision, &e) < 0)
			continue;
		name = session_text(&revision, "revision");
		text = xasprintf("%.0f%%", session_number(&revision, "percent", 0));
		if (name != NULL && s->what == NAMES_TAGS)
			offer_tags(s, &revision, name);
		else if (name != NULL)
			offer_name(s, name, text);
		free(text);
		free(name);
	}
}

static void
on_service(const struct session_line *line, void *arg)
{
	const struct name_search *s = arg;
	char *name, *hosts;

	if (strcmp(line->type, "service") != 0)
		return;
	name = session_text(line->root, "name");
	hosts = session_list(line->root, "hosts", ", ");
	if (name != NULL && s->what == NAMES_SERVICES)
		offer_name(s, name, hosts);
	else if (name != NULL && (s->service == NULL || strcmp(s->service, name) == 0))
		offer_revisions(s, line->root);
	free(hosts);
	free(name);
}

/* Without an autoscaler there is nothing to offer. */
static void
offer_names(const struct typed_line *l, enum names what, const char *service, const char *before,
	    const char *behind)
{
	const struct session_request r = {.command = "list", .timeout_ns = ANSWER_TIMEOUT};
	struct name_search s = {
		.l = l, .what = what, .service = service, .before = before, .behind = behind};
	struct session_end end;

	session_ask(&l->where, &r, on_service, &s, &end);
	session_end_fini(&end);
}

/* --- what is offered --- */

static bool
is_rollout_word(const char *word)
{
	static const char *const all[] = {"status", "wait", "pause", "resume", "abort"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(all[i], word) == 0)
			return true;
	return false;
}

/* before: "--tag=", of an option with its value in one word, or "". */
static void
offer_values(const struct typed_line *l, const struct option_form *o, const char *before)
{
	/* The service is the first argument; of `rollout status shop` the second. */
	const char *service = l->n == 2 && is_rollout_word(l->arguments[0]) ? l->arguments[1]
			      : l->n > 0				    ? l->arguments[0]
									    : NULL;

	switch (o->value) {
	case VALUE_FILE:
		out_text(":files\n");
		break;
	case VALUE_WORDS:
		offer_words(l, before, o->words);
		break;
	case VALUE_REVISION:
		if (l->command != NULL && (l->command->options & OPTION_USAGE) == 0)
			offer_names(l, NAMES_REVISIONS, service, before, "");
		break;
	case VALUE_TAG:
		offer_names(l, NAMES_TAGS, service, before, "");
		break;
	case VALUE_NEW_TAG:
		if (l->command == NULL || (l->command->options & OPTION_UNTAG) == 0)
			break;
		out_text(":nospace\n");
		offer_names(l, NAMES_REVISIONS, service, before, "=");
		break;
	default:
		break;
	}
}

static void
offer_commands(const struct typed_line *l)
{
	size_t i;

	for (i = 0; i < commands_n; i++)
		offer(l, commands[i].name, commands[i].summary);
	if (!l->is_help)
		offer(l, "help", "help for a command");
}

/* NAME, or SERVICE/REVISION once there is a slash. */
static void
offer_first(const struct typed_line *l)
{
	const char *slash = strchr(l->word, '/');
	char *service, *before;

	if (slash == NULL || strstr(l->command->arguments, "/REVISION") == NULL) {
		offer_names(l, NAMES_SERVICES, NULL, "", "");
		return;
	}
	service = xstrndup(l->word, (size_t)(slash - l->word));
	before = xasprintf("%s/", service);
	offer_names(l, NAMES_REVISIONS, service, before, "");
	free(before);
	free(service);
}

static void
offer_arguments(const struct typed_line *l)
{
	const char *name = l->command->name;
	bool takes_name = strstr(l->command->arguments, "NAME") != NULL;

	if (strcmp(name, "completion") == 0 && l->n == 0) {
		offer_words(l, "", l->command->arguments);
	} else if (strcmp(name, "import") == 0) {
		out_text(":files\n");
	} else if (strcmp(name, "rollout") == 0) {
		if (l->n == 0)
			offer_words(l, "", "status wait pause resume abort");
		if (l->n == 0 || (l->n == 1 && is_rollout_word(l->arguments[0])))
			offer_first(l);
	} else if (strcmp(name, "traffic") == 0 && l->n > 0) {
		out_text(":nospace\n");
		offer(l, "latest=", "the newest revision");
		offer_names(l, NAMES_REVISIONS, l->arguments[0], "", "=");
	} else if (takes_name && l->n == 0) {
		offer_first(l);
	}
}

/* --- the line --- */

/* Take a word before the last.  True: it is an option whose value follows. */
static bool
take_word(struct typed_line *l, const char *word, struct option_form *o)
{
	if (strcmp(word, "--") == 0) {
		l->is_behind_dashes = true;
	} else if (word[0] == '-' && word[1] != '\0') {
		return find_option(l->command, word, o) && o->value != VALUE_NONE &&
		       strchr(word, '=') == NULL;
	} else if (l->command == NULL && !l->is_help) {
		l->command = command_find(word);
		l->is_help = l->command == NULL && strcmp(word, "help") == 0;
	} else {
		if (l->n < ARRAY_LEN(l->arguments))
			l->arguments[l->n] = word;
		l->n++;
	}
	return false;
}

static void
take_value(struct typed_line *l, const struct option_form *o, const char *value)
{
	if (o->letter == 'c')
		l->where.conf = value;
	else if (o->name != NULL && strcmp(o->name, "socket") == 0)
		l->where.socket = value;
}

static void
read_line(struct typed_line *l, char *const *words, int n)
{
	struct option_form o;
	int i;

	for (i = 0; i + 1 < n && !l->is_behind_dashes; i++) {
		const char *equals = strchr(words[i], '=');

		o = (struct option_form){.value = VALUE_NONE};
		if (!take_word(l, words[i], &o)) {
			if (o.value != VALUE_NONE && equals != NULL)
				take_value(l, &o, equals + 1);
		} else if (i + 2 == n) {
			l->pending = o;
		} else {
			take_value(l, &o, words[++i]);
		}
	}
}

void
complete(char *const *words, int n)
{
	struct typed_line l = {.where.is_quiet = true, .word = n > 0 ? words[n - 1] : ""};
	struct option_form o;
	const char *equals = strchr(l.word, '=');
	char *before;

	read_line(&l, words, n);
	if (l.is_behind_dashes) {
		out_text(":files\n");
	} else if (l.pending.value != VALUE_NONE) {
		offer_values(&l, &l.pending, "");
	} else if (strncmp(l.word, "--", 2) == 0 && equals != NULL) {
		before = xstrndup(l.word, (size_t)(equals + 1 - l.word));
		if (find_option(l.command, l.word, &o))
			offer_values(&l, &o, before);
		free(before);
	} else if (l.word[0] == '-') {
		offer_options(&l);
	} else if (l.command == NULL) {
		offer_commands(&l);
	} else {
		offer_arguments(&l);
	}
}
