/* kube_annotated: which services annotated objects make, which are refused, and why. */
#include "unit.h"

#include "autoscaler/kubernetes/kube_annotated.h"
#include "common/strbuf.h"

/* Events about objects as lines: "KIND NAMESPACE/NAME CREATED LABELS ANNOTATIONS", the last two
 * "k=v&k=v" or "-".  A line that begins with "-" removes the object. */
static void
split(char *text, char *v[][2], size_t *n)
{
	char *at = strcmp(text, "-") == 0 ? NULL : text;

	for (*n = 0; at != NULL; (*n)++) {
		char *pair = strsep(&at, "&");

		v[*n][0] = xstrdup(strsep(&pair, "="));
		v[*n][1] = xstrdup(pair);
	}
}

static void
fill(struct kube_object *o, char *labels, char *annotations)
{
	char *v[8][2];
	size_t i;

	split(labels, v, &o->labels_n);
	o->labels = xcalloc(o->labels_n + 1, sizeof *o->labels);
	for (i = 0; i < o->labels_n; i++)
		o->labels[i] = (struct kube_label){v[i][0], v[i][1]};
	split(annotations, v, &o->annotations_n);
	o->annotations = xcalloc(o->annotations_n + 1, sizeof *o->annotations);
	for (i = 0; i < o->annotations_n; i++)
		o->annotations[i] = (struct kube_annotation){v[i][0], v[i][1]};
}

static bool
take(struct kube_annotated *a, const char *line)
{
	char *text = xstrdup(line), *at = text, *kind = strsep(&at, " ");
	bool is_gone = kind[0] == '-', is_change;
	struct kube_object o = {.kind = strcmp(kind + is_gone, "D") == 0 ? KUBE_DEPLOYMENT
									 : KUBE_SERVICE};

	o.ns = xstrdup(strsep(&at, "/"));
	o.name = xstrdup(strsep(&at, " "));
	if (is_gone) {
		is_change = kube_annotated_remove(a, o.kind, o.ns, o.name);
		kube_object_fini(&o);
	} else {
		char *labels;

		o.created = xstrdup(strsep(&at, " "));
		o.uid = xasprintf("%s-%s", o.name, o.created);
		labels = strsep(&at, " ");
		fill(&o, labels, strsep(&at, " "));
		o.port = at == NULL ? NULL : xstrdup(at);
		is_change = kube_annotated_put(a, &o);
	}
	free(text);
	return is_change;
}

/* A line "name=host>deployment:port" for each service, "!Kind ns/name: why" for each refusal. */
static char *
outcome(struct kube_annotated *a, const struct settings *s)
{
	const struct service_conf *v;
	struct kube_refusal r;
	struct strbuf b;
	size_t n, i;

	strbuf_init(&b, 0);
	v = kube_annotated_services(a, s, &n);
	for (i = 0; i < n; i++)
		strbuf_addf(&b, "%s=%s>%s%s%s\n", v[i].name, v[i].hosts.v[0],
			    v[i].revisions[0].launch.deployment,
			    v[i].revisions[0].launch.port == NULL ? "" : ":",
			    v[i].revisions[0].launch.port == NULL ? ""
								  : v[i].revisions[0].launch.port);
	while (kube_annotated_next_refusal(a, &r))
		strbuf_addf(&b, "!%s %s/%s: %s\n", kube_object_kind_name(r.object->kind),
			    r.object->ns, r.object->name, r.why);
	return strbuf_take(&b);
}

#define CONF "autoscaler { driver = kubernetes }\n"
#define TAKEN                                                                                      \
	CONF "service \"file\" { hosts = {\"taken\"} revision \"v1\" { deployment = \"d/db\" } }\n"

#define STEPS 6
static const struct {
	const char *conf;
	const char *steps[STEPS][2]; /* the event ("": none), the outcome */
} stories[] = {
	/* one is created, changed, given a mistake (and keeps its service), corrected, removed */
	{CONF,
	 {{"D d/a 1 - host=x", "d.a=x>d/a\n"},
	  {"D d/a 1 - host=y", "d.a=y>d/a\n"},
	  {"D d/a 1 - host=y&max_scale=many",
	   "d.a=y>d/a\n!Deployment d/a: max_scale: expected a whole number, got \"many\"\n"},
	  {"", "d.a=y>d/a\n"}, /* a refusal is returned once */
	  {"D d/a 1 - host=z&max_scale=2", "d.a=z>d/a\n"},
	  {"-D d/a", ""}}},
	/* the annotation is removed, the object stays */
	{CONF, {{"D d/a 1 - host=x", "d.a=x>d/a\n"}, {"D d/a 1 - -", ""}}},
	/* a mistake from the start: there is no service to keep */
	{CONF,
	 {{"D d/a 1 - host=x&via=v", "!Deployment d/a: via: expected yes or no, got \"v\"\n"},
	  {"D d/a 1 - host=x", "d.a=x>d/a\n"}}},
	/* another object of the same name inherits nothing */
	{CONF,
	 {{"D d/a 1 - host=x", "d.a=x>d/a\n"},
	  {"D d/a 2 - host=x&via=v", "!Deployment d/a: via: expected yes or no, got \"v\"\n"}}},
	/* the older object wins, whichever event comes first; then it is removed */
	{CONF,
	 {{"D d/b 2 - host=x", "d.b=x>d/b\n"},
	  {"D d/a 1 - host=x", "d.a=x>d/a\n!Deployment d/b: x is taken by Deployment/d/a\n"},
	  {"-D d/a", "d.b=x>d/b\n"}}},
	/* a younger one that claims what is taken keeps its service */
	{CONF,
	 {{"D d/a 1 - host=x", "d.a=x>d/a\n"},
	  {"D d/b 2 - host=y", "d.a=x>d/a\nd.b=y>d/b\n"},
	  {"D d/b 2 - host=X", "d.a=x>d/a\nd.b=y>d/b\n!Deployment d/b: X is taken by "
			       "Deployment/d/a\n"},
	  {"D d/a 1 - host=z", "d.a=z>d/a\nd.b=X>d/b\n"}}},
	/* of the same age: the name decides */
	{CONF,
	 {{"D d/b 1 - host=x", "d.b=x>d/b\n"},
	  {"D d/a 1 - host=x", "d.a=x>d/a\n!Deployment d/b: x is taken by Deployment/d/a\n"}}},
	/* the same host with other paths */
	{CONF,
	 {{"D d/a 1 - host=x", "d.a=x>d/a\n"},
	  {"D d/b 2 - host=x&paths=/api", "d.a=x>d/a\nd.b=x>d/b\n"},
	  {"D d/c 3 - host=x&paths=/api/",
	   "d.a=x>d/a\nd.b=x>d/b\n!Deployment d/c: x/api/ is taken by Deployment/d/b\n"}}},
	/* the conf file comes first: its host, its workload, its name */
	{TAKEN,
	 {{"D d/a 1 - host=taken",
	   "!Deployment d/a: taken is taken by service \"file\" of the conf file\n"},
	  {"D d/db 1 - host=x", "!Deployment d/db: apps/v1/Deployment/d/db is taken by service "
				"\"file\" of the conf file\n"}}},
	{CONF "service \"d.a\" { hosts = {\"q\"} revision \"v1\" { deployment = \"d/q\" } }\n",
	 {{"D d/a 1 - host=x",
	   "!Deployment d/a: d.a is taken by service \"d.a\" of the conf file\n"}}},
	/* allow_hosts */
	{"autoscaler { driver = kubernetes allow_hosts = {\"d=*.d\"} }\n",
	 {{"D d/a 1 - host=x.d", "d.a=x.d>d/a\n"},
	  {"D d/a 1 - host=x.e", "d.a=x.d>d/a\n!Deployment d/a: host x.e may not be claimed from "
				 "namespace d (allow_hosts)\n"},
	  {"D e/a 1 - host=x.d", "d.a=x.d>d/a\n!Deployment e/a: host x.d may not be claimed from "
				 "namespace e (allow_hosts)\n"}}},
	/* annotations of a Service are for the Deployment that it selects */
	{CONF,
	 {{"S d/s 1 app=a host=x http", "!Service d/s: its selector matches no Deployment\n"},
	  {"D d/a 2 app=a&v=1 -", "d.s=x>d/a:http\n"},
	  {"D e/a 2 app=a -", "d.s=x>d/a:http\n"},
	  {"D d/b 3 app=a -",
	   "d.s=x>d/a:http\n!Service d/s: its selector matches several Deployments: a and b\n"},
	  {"-D d/a", "d.s=x>d/b:http\n"}}},
	{CONF,
	 {{"D d/a 2 app=a -", ""},
	  {"S d/s 1 app=a host=x&port=web http", "d.s=x>d/a:web\n"},
	  {"S d/t 1 - host=y",
	   "d.s=x>d/a:web\n!Service d/t: its selector matches no Deployment\n"}}},
	/* both have annotations: the older one gets the Deployment */
	{CONF,
	 {{"D d/a 1 app=a host=x", "d.a=x>d/a\n"},
	  {"S d/s 2 app=a host=y", "d.a=x>d/a\n!Service d/s: apps/v1/Deployment/d/a is taken by "
				   "Deployment/d/a\n"}}},
};

static struct settings *
settings_of(const char *text)
{
	struct settings_errors errors;
	struct settings *s = settings_load_bytes("t.conf", text, strlen(text), &errors);

	assert_non_null(s);
	settings_errors_free(&errors);
	return s;
}

static void
each_story(void **state)
{
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_LEN(stories); i++) {
		struct settings *s = settings_of(stories[i].conf);
		struct kube_annotated *a = kube_annotated_new();

		for (k = 0; k < STEPS && stories[i].steps[k][0] != NULL; k++) {
			char *got;

			if (stories[i].steps[k][0][0] != '\0')
				(void)take(a, stories[i].steps[k][0]);
			got = outcome(a, s);
			assert_string_equal(got, stories[i].steps[k][1]);
			free(got);
		}
		kube_annotated_free(&a);
		settings_free(&s);
	}
}

/* A change to what no service depends on, or none at all. */
static void
changes_without_effect(void **state)
{
	struct kube_annotated *a = kube_annotated_new();

	(void)state;
	assert_true(take(a, "D d/a 1 app=a host=x"));
	assert_false(take(a, "D d/a 1 app=a host=x"));
	assert_false(take(a, "D d/b 1 app=b -"));
	assert_false(take(a, "D d/b 1 app=c max_scale=5"));
	assert_false(take(a, "-D d/b"));
	assert_false(take(a, "-D d/b"));
	assert_true(take(a, "-D d/a"));
	kube_annotated_free(&a);
}

static void
a_list_removes_what_it_does_not_have(void **state)
{
	struct settings *s = settings_of(CONF);
	struct kube_annotated *a = kube_annotated_new();
	char *got;

	(void)state;
	take(a, "D d/a 1 - host=x");
	take(a, "D d/b 2 - host=y");
	take(a, "D e/c 3 - host=z");
	kube_annotated_list_begin(a, KUBE_DEPLOYMENT, "d");
	assert_false(take(a, "D d/b 2 - host=y"));
	got = outcome(a, s);
	assert_string_equal(got, "d.a=x>d/a\nd.b=y>d/b\ne.c=z>e/c\n"); /* until its end */
	free(got);
	assert_true(kube_annotated_list_end(a, KUBE_DEPLOYMENT, "d"));
	got = outcome(a, s);
	assert_string_equal(got, "d.b=y>d/b\ne.c=z>e/c\n");
	free(got);
	kube_annotated_list_begin(a, KUBE_DEPLOYMENT, "e");
	take(a, "D e/c 3 - host=z");
	assert_false(kube_annotated_list_end(a, KUBE_DEPLOYMENT, "e"));
	kube_annotated_free(&a);
	settings_free(&s);
}

static void
services_are_borrowed_until_the_second_call(void **state)
{
	struct settings *one = settings_of(CONF), *two;
	struct kube_annotated *a = kube_annotated_new();
	const struct service_conf *before, *now;
	size_t n;

	(void)state;
	take(a, "D d/a 1 - host=x");
	before = kube_annotated_services(a, one, &n);
	take(a, "D d/a 1 - host=y");
	two = settings_of("autoscaler { driver = kubernetes max_scale = 3 }");
	now = kube_annotated_services(a, two, &n);
	settings_free(&one);
	assert_string_equal(before[0].hosts.v[0], "x");
	assert_string_equal(before[0].revisions[0].full_name, "d.a/v1");
	assert_string_equal(now[0].hosts.v[0], "y");
	assert_int_equal(now[0].revisions[0].scaling.max_scale, 3); /* new settings hold */
	kube_annotated_free(&a);
	settings_free(&two);
}

/* Other settings claim the host, and give it back. */
static void
other_settings(void **state)
{
	struct settings *open = settings_of(CONF), *taken = settings_of(TAKEN);
	struct kube_annotated *a = kube_annotated_new();
	char *got;

	(void)state;
	take(a, "D d/a 1 - host=taken");
	got = outcome(a, open);
	assert_string_equal(got, "d.a=taken>d/a\n");
	free(got);
	got = outcome(a, taken);
	assert_string_equal(got, "!Deployment d/a: taken is taken by service \"file\" of the conf "
				 "file\n");
	free(got);
	got = outcome(a, open);
	assert_string_equal(got, "d.a=taken>d/a\n");
	free(got);
	kube_annotated_free(&a);
	settings_free(&taken);
	settings_free(&open);
}

/* --- joint services --- */

/* A line "name=host REVISION PERCENT (TAG) …" for each service, refusals as in outcome(). */
static char *
split_outcome(struct kube_annotated *a, const struct settings *s)
{
	const struct service_conf *v;
	struct kube_refusal r;
	struct strbuf b;
	size_t n, i, k;

	strbuf_init(&b, 0);
	v = kube_annotated_services(a, s, &n);
	for (i = 0; i < n; i++) {
		strbuf_addf(&b, "%s=%s", v[i].name, v[i].hosts.v[0]);
		for (k = 0; k < v[i].traffic_n; k++)
			strbuf_addf(&b, " %s %u%s%s%s", v[i].traffic[k].revision,
				    v[i].traffic[k].percent, v[i].traffic[k].tag == NULL ? "" : "(",
				    v[i].traffic[k].tag == NULL ? "" : v[i].traffic[k].tag,
				    v[i].traffic[k].tag == NULL ? "" : ")");
		strbuf_adds(&b, "\n");
	}
	while (kube_annotated_next_refusal(a, &r))
		strbuf_addf(&b, "!%s: %s\n", r.object->name, r.why);
	return strbuf_take(&b);
}

#define JOINT_STEPS 8
static const struct {
	const char *steps[JOINT_STEPS][2];
} joint_stories[] = {
	/* blue and green: the second one comes without traffic, and is moved to in two commands */
	{{{"D d/blue 1 - host=x&service=shop", "d.shop=x blue 100\n"},
	  {"D d/green 2 - service=shop&tag=next", "d.shop=x blue 100 green 0(next)\n"},
	  {"D d/blue 1 - host=x&service=shop&percent=90", "d.shop=x blue 90 green 10(next)\n"},
	  {"D d/blue 1 - host=x&service=shop&percent=0", "d.shop=x blue 0 green 100(next)\n"},
	  {"D d/green 2 - service=shop&tag=next&percent=70",
	   "d.shop=x blue 0 green 100(next)\n!blue: the percents of service d.shop sum to 70: the split "
	   "before stays until they sum to 100\n"},
	  {"D d/blue 1 - host=x&service=shop&percent=30", "d.shop=x blue 30 green 70(next)\n"},
	  {"-D d/green",
	   "d.shop=x blue 100\n!blue: the percents of service d.shop sum to 30, expected 100: its "
	   "Deployments share in proportion\n"},
	  {"D d/blue 1 - host=x&service=shop", "d.shop=x blue 100\n"}}},
	/* sums that were never 100; nobody has any; the oldest of those without gets the rest */
	{{{"D d/a 1 - host=x&service=s&percent=30",
	   "d.s=x a 100\n!a: the percents of service d.s sum "
	   "to 30, expected 100: its Deployments share in "
	   "proportion\n"},
	  {"D d/b 2 - service=s&percent=60",
	   "d.s=x a 100\n!a: the percents of service d.s sum to 90: the split before stays until "
	   "they sum to 100\n"},
	  {"D d/c 3 - service=s", "d.s=x a 30 b 60 c 10\n"},
	  {"D d/d 4 - service=s", "d.s=x a 30 b 60 c 10 d 0\n"}}},
	/* one that comes with a percent has none until the sum is 100 */
	{{{"D d/blue 1 - host=x&service=s&percent=100", "d.s=x blue 100\n"},
	  {"D d/green 2 - service=s&percent=100",
	   "d.s=x blue 100\n!blue: the percents of service d.s sum to 200: the split before stays "
	   "until they sum to 100\n"},
	  {"D d/blue 1 - host=x&service=s&percent=0", "d.s=x blue 0 green 100\n"}}},
	/* several that come at once, with no split before, share in proportion */
	{{{"D d/b 2 - service=s&percent=60", NULL},
	  {"D d/a 1 - host=x&service=s&percent=30",
	   "d.s=x a 33 b 67\n!a: the percents of service d.s sum to "
	   "90, expected 100: its Deployments share in proportion\n"}}},
	/* the leader goes: another Deployment that names a host leads; then none does */
	{{{"D d/a 1 - host=x&service=s&percent=50", NULL},
	  {"D d/b 2 - host=x&service=s&percent=50", "d.s=x a 50 b 50\n"},
	  {"-D d/a", "d.s=x b 100\n!b: the percents of service d.s sum to 50, expected 100: its "
		     "Deployments share in proportion\n"},
	  {"D d/b 2 - service=s",
	   "d.s=x b 100\n!b: service: no Deployment of it names a host and is in "
	   "order\n"},
	  {"D d/b 2 - host=y&service=s", "d.s=y b 100\n"},
	  {"-D d/b", ""}}},
	/* keys of the service are the leader's, those of a revision its own; mistakes keep all */
	{{{"D d/a 1 - host=x&service=s&max_scale=3", "d.s=x a 100\n"},
	  {"D d/b 2 - host=y&service=s",
	   "d.s=x a 100\n!b: host: expected what Deployment a has, which is the oldest of the service "
	   "that names a host (x), got \"y\"\n"},
	  {"D d/b 2 - host=x&service=s&max_scale=5", "d.s=x a 100 b 0\n"},
	  {"D d/b 2 - host=x&service=s&max_scale=5&percent=101",
	   "d.s=x a 100 b 0\n!b: percent: expected 0 to 100, got \"101\"\n"},
	  {"D d/b 2 - host=x&service=s&max_scale=five&percent=10",
	   "d.s=x a 100 b 0\n!b: max_scale: expected a whole number, got \"five\"\n"},
	  {"D d/b 2 - host=x&service=s&max_scale=5&percent=10%", "d.s=x a 90 b 10\n"},
	  {"D d/a 1 - host=x&service=s&tag=t", "d.s=x a 90(t) b 10\n"},
	  {"D d/b 2 - service=s&percent=10&tag=t",
	   "d.s=x a 90(t) b 10\n!b: tag: \"t\" is that of Deployment a, which is older\n"}}},
	/* a part that was wrong from the start is left out */
	{{{"D d/b 2 - service=s&percent=x",
	   "!b: service: no Deployment of it names a host and is in "
	   "order\n"},
	  {"D d/a 1 - host=x&service=s",
	   "d.s=x a 100\n!b: percent: expected 0 to 100, got \"x\"\n"},
	  {"D d/b 2 - service=s&percent=20", "d.s=x a 80 b 20\n"}}},
	/* a tag twice: the leader has it, though it is younger */
	{{{"D d/a 1 - service=s&tag=t", NULL},
	  {"D d/b 2 - host=x&service=s&tag=t",
	   "d.s=x b 100(t)\n!a: tag: \"t\" is that of Deployment b, which names the host\n"},
	  {"D d/a 1 - service=s&tag=u", "d.s=x a 100(u) b 0(t)\n"}}},
	/* into a joint service, to another one, and out of it; other namespaces have their own */
	{{{"D d/a 1 - host=x", "d.a=x v1 100\n"},
	  {"D d/b 2 - host=y&service=s", "d.a=x v1 100\nd.s=y b 100\n"},
	  {"D e/b 3 - host=z&service=s", "d.a=x v1 100\nd.s=y b 100\ne.s=z b 100\n"},
	  {"D d/a 1 - host=y&service=s&percent=10", "d.s=y a 10 b 90\ne.s=z b 100\n"},
	  {"D d/a 1 - host=x&service=t", "d.t=x a 100\nd.s=y b 100\ne.s=z b 100\n"},
	  {"D d/a 1 - host=x", "d.a=x v1 100\nd.s=y b 100\ne.s=z b 100\n"},
	  {"D d/a 1 - -", "d.s=y b 100\ne.s=z b 100\n"}}},
	/* what is taken stays so; a Service cannot be a part */
	{{{"D d/a 1 - host=x", "d.a=x v1 100\n"},
	  {"D d/b 2 - host=x&service=s", "d.a=x v1 100\n!b: x is taken by Deployment/d/a\n"},
	  {"S d/c 3 app=a host=z&service=s", "d.a=x v1 100\n!c: service: is for Deployments\n"},
	  {"-D d/a", "d.s=x b 100\n"}}},
};

static void
each_joint_story(void **state)
{
	struct settings *s = settings_of(CONF);
	size_t i, k;

	(void)state;
	assert_non_null(s);
	for (i = 0; i < ARRAY_LEN(joint_stories); i++) {
		struct kube_annotated *a = kube_annotated_new();

		for (k = 0; k < JOINT_STEPS && joint_stories[i].steps[k][0] != NULL; k++) {
			char *text;

			(void)take(a, joint_stories[i].steps[k][0]);
			text = split_outcome(a, s);
			if (joint_stories[i].steps[k][1] != NULL &&
			    strcmp(text, joint_stories[i].steps[k][1]) != 0)
				fail_msg("story %zu, step %zu: expected\n%sgot\n%s", i, k,
					 joint_stories[i].steps[k][1], text);
			free(text);
		}
		kube_annotated_free(&a);
	}
	settings_free(&s);
}

static void
keys_of_revisions_are_their_own(void **state)
{
	struct settings *s = settings_of(CONF);
	struct kube_annotated *a = kube_annotated_new();
	const struct service_conf *v;
	size_t n;

	(void)state;
	take(a, "D d/a 1 - host=x&service=s&max_scale=3");
	take(a, "D d/b 2 - service=s&target=7&port=web");
	v = kube_annotated_services(a, s, &n);
	assert_int_equal(n, 1);
	assert_int_equal(v[0].revisions_n, 2);
	assert_int_equal(v[0].revisions[0].scaling.max_scale, 3);
	assert_int_equal(v[0].revisions[1].scaling.max_scale, 0);
	assert_string_equal(v[0].revisions[1].launch.port, "web");
	assert_null(v[0].revisions[0].launch.port);
	assert_true(v[0].revisions[1].scaling.target > 6.9);
	kube_annotated_free(&a);
	settings_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_joint_story),
		cmocka_unit_test(keys_of_revisions_are_their_own),
		cmocka_unit_test(each_story),
		cmocka_unit_test(changes_without_effect),
		cmocka_unit_test(a_list_removes_what_it_does_not_have),
		cmocka_unit_test(services_are_borrowed_until_the_second_call),
		cmocka_unit_test(other_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
