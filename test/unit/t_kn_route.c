/* Stories of Routes and DomainMappings, and the services for the activators that come of them. */
#include "test/unit/kn_house.h"
#include "test/unit/kn_world.h"

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "common/strbuf.h"

/* --- stories --- */

static void
a_route_is_served_and_then_ready(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	kn_world_run(&h.w);
	/* The status says what is to be in use; it is not, yet. */
	assert_string_equal(ROUTE(&h, "AllTrafficAssigned"), "True");
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    "Unknown IngressNotConfigured: Ingress has not yet been reconciled.");
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"),
			    "Unknown IngressNotConfigured: Ingress has not yet been reconciled.");
	assert_true(house_describe(&h));
	assert_false(house_describe(&h));
	kn_world_run(&h.w);
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"),
			    "Unknown IngressNotConfigured: Ingress has not yet been reconciled.");
	h.routed = h.serial;
	kn_world_run(&h.w);
	assert_string_equal(ROUTE(&h, "IngressReady"), "True");
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"), "True");
	assert_string_equal(house_route(&h, "url", NULL), "http://hello.default.example.com");
	assert_string_equal(house_route(&h, "address", "url"),
			    "http://hello.default.svc.cluster.local");
	assert_string_equal(ROUTE(&h, "CertificateProvisioned"),
			    "True TLSNotEnabled: external-domain-tls is not enabled");
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL("hello") " | hello-00001 100 "
									       ": hello-00001");
	assert_false(house_describe(&h)); /* conditions change no service */
	assert_int_equal(h.serial, 1);
	house_close(&h);
}

static void
an_update_is_ready_when_it_is_routed(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	house_apply(&h, "app:2", "", LATEST);
	kn_world_run(&h.w);
	assert_string_equal(CONDITION(&h, KN_CONFIGURATION, "hello", "Ready"), "True");
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"),
			    "Unknown IngressNotConfigured: Ingress has not yet been reconciled.");
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"), "True");
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL(
			       "hello") " | hello-00002 100 "
					": hello-00001 hello-00002");
	/* One that fails leaves all as it is. */
	house_apply(&h, "missing:3", "", LATEST);
	house_run(&h);
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL(
			       "hello") " | hello-00002 100 "
					": hello-00001 hello-00002 hello-00003");
	house_close(&h);
}

static void
tags_have_hosts_of_their_own(void **state)
{
	struct house h;
	const json_t *traffic;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_use_network(&h, "{\"tag-template\":\"{{.Name}}-{{.Tag}}\"}");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	house_apply(&h, "app:2", "",
		    "[{\"tag\":\"now\",\"revisionName\":\"hello-00001\",\"percent\":60},"
		    "{\"latestRevision\":true,\"percent\":30},{\"tag\":\"next\"},"
		    "{\"revisionName\":\"hello-00001\",\"percent\":10}]");
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"), "True");
	assert_service(
		&h, "default.hello",
		"hosts=hello.default.example.com local=" LOCAL("hello") " | hello-00001 60 now hosts=hello-now.default.example.com local=" LOCAL(
			"hello-now") " | hello-00002 30 | hello-00002 0 next "
				     "hosts=hello-next.default.example.com local=" LOCAL(
					     "hello-next") " | hello-00001 10 : hello-00001 hello-00002");
	traffic = kn_json_at(kn_world_get(&h.w, KN_ROUTE, "hello"), "status", "traffic", NULL);
	assert_string_equal(kn_json_text(json_array_get(traffic, 0), "url", NULL),
			    "http://hello-now.default.example.com");
	assert_true(json_is_true(kn_json_at(json_array_get(traffic, 2), "latestRevision", NULL)));
	assert_int_equal(kn_json_number(json_array_get(traffic, 2), "percent", -1), 0);
	assert_non_null(kn_world_get(&h.w, KN_PLACEHOLDER, "hello-now"));
	/* A label on its placeholder makes a tag local. */
	kn_world_patch(&h.w, KN_PLACEHOLDER, "hello-now",
		       "{\"metadata\":{\"labels\":{\"networking.knative.dev/visibility\":"
		       "\"cluster-local\"}}}");
	house_run(&h);
	traffic = kn_json_at(kn_world_get(&h.w, KN_ROUTE, "hello"), "status", "traffic", NULL);
	assert_string_equal(kn_json_text(json_array_get(traffic, 0), "url", NULL),
			    "http://hello-now.default.svc.cluster.local");
	/* A tag that goes takes its placeholder along. */
	house_apply(&h, "app:2", "", LATEST);
	house_run(&h);
	assert_null(kn_world_get(&h.w, KN_PLACEHOLDER, "hello-now"));
	assert_non_null(kn_world_get(&h.w, KN_PLACEHOLDER, "hello"));
	house_close(&h);
}

static void
a_local_service_has_no_public_host(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1",
		    ",\"labels\":{\"networking.knative.dev/visibility\":\"cluster-local\"}",
		    LATEST);
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"), "True");
	assert_string_equal(house_route(&h, "url", NULL), "http://hello.default.svc.cluster.local");
	assert_service(&h, "default.hello",
		       " local=" LOCAL("hello") " | hello-00001 100 : hello-00001");
	/* The label goes. */
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	assert_string_equal(house_route(&h, "url", NULL), "http://hello.default.example.com");
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"), "True");
	house_close(&h);
}

static void
placeholders_lead_to_the_activators(void **state)
{
	struct house h;
	const json_t *service;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", ",\"annotations\":{\"a\":\"1\"},\"labels\":{\"l\":\"2\"}", LATEST);
	house_run(&h);
	service = kn_world_get(&h.w, KN_PLACEHOLDER, "hello");
	assert_string_equal(kn_json_text(service, "spec", "externalName", NULL),
			    "activator-local.activator.svc.cluster.local");
	assert_string_equal(kn_json_text(service, "metadata", "annotations", "a", NULL), "1");
	assert_string_equal(kn_json_text(service, "metadata", "labels", "l", NULL), "2");
	assert_string_equal(kn_json_text(service, "metadata", "labels", KN_LABEL_ROUTE, NULL),
			    "hello");
	/* What goes from the Service stays there. */
	house_apply(&h, "app:1", ",\"annotations\":{\"b\":\"1\"}", LATEST);
	house_run(&h);
	service = kn_world_get(&h.w, KN_PLACEHOLDER, "hello");
	assert_string_equal(kn_json_text(service, "metadata", "annotations", "a", NULL), "1");
	assert_string_equal(kn_json_text(service, "metadata", "annotations", "b", NULL), "1");
	kn_world_delete(&h.w, KN_SERVICE, "hello");
	kn_world_collect(&h.w);
	house_run(&h);
	assert_int_equal(kn_world_count(&h.w, KN_PLACEHOLDER), 0);
	assert_int_equal(h.n, 0);
	house_close(&h);
}

static void
a_service_of_another_is_left_alone(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	kn_world_apply(&h.w, KN_PLACEHOLDER, "{\"metadata\":{\"name\":\"hello\"},\"spec\":{}}");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    "False NotOwned: There is an existing placeholder Service \"hello\" "
			    "that we do not own.");
	assert_string_equal(kn_json_text(kn_world_get(&h.w, KN_PLACEHOLDER, "hello"), "spec",
					 "externalName", NULL),
			    "");
	kn_world_delete(&h.w, KN_PLACEHOLDER, "hello");
	kn_world_collect(&h.w);
	house_run(&h);
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	house_close(&h);
}

static void
targets_that_are_missing(void **state)
{
	static const struct {
		const char *traffic, *condition;
	} v[] = {
		{"[{\"revisionName\":\"nothing\",\"percent\":100}]",
		 "False RevisionMissing: Revision \"nothing\" referenced in traffic not found."},
		{"[{\"configurationName\":\"nothing\",\"percent\":100}]",
		 "False ConfigurationMissing: Configuration \"nothing\" referenced in traffic not "
		 "found."},
		{"[{\"configurationName\":\"broken\",\"percent\":100}]",
		 "False RevisionMissing: Configuration \"broken\" does not have any ready "
		 "Revision."},
		{"[{\"revisionName\":\"broken-00001\",\"percent\":100}]",
		 "False RevisionMissing: Revision \"broken-00001\" failed to become ready."},
		{"[]", "False RevisionMissing: The Route has no traffic targets."},
		{"[{\"configurationName\":\"slow\",\"percent\":100}]",
		 "Unknown RevisionMissing: Configuration \"slow\" is waiting for a Revision to become "
		 "ready."},
		{"[{\"revisionName\":\"slow-00001\",\"percent\":100}]",
		 "Unknown RevisionMissing: Revision \"slow-00001\" is not yet ready."},
		/* what does not pass goes first */
		{"[{\"configurationName\":\"slow\",\"percent\":50},"
		 "{\"revisionName\":\"nothing\",\"percent\":50}]",
		 "False RevisionMissing: Revision \"nothing\" referenced in traffic not found."},
	};
	struct house h;
	size_t i;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	kn_world_apply(&h.w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"broken\"},\"spec\":{\"template\":{\"spec\":{"
		       "\"containers\":[{\"image\":\"missing:1\"}]}}}}");
	house_run(&h);
	h.w.has_kubelet = false;
	kn_world_apply(&h.w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"slow\"},\"spec\":{\"template\":{\"spec\":{"
		       "\"containers\":[{\"image\":\"app:1\"}]}}}}");
	for (i = 0; i < ARRAY_LEN(v); i++) {
		char *text = xasprintf(
			"{\"metadata\":{\"name\":\"hello\"},\"spec\":{\"traffic\":%s}}",
			v[i].traffic);

		kn_world_apply(&h.w, KN_ROUTE, text);
		free(text);
		house_run(&h);
		assert_string_equal(ROUTE(&h, "AllTrafficAssigned"), v[i].condition);
		assert_string_equal(ROUTE(&h, "Ready"), v[i].condition);
		assert_int_equal(json_object_size(kn_world_get(&h.w, KN_PLACEHOLDER, "hello")), 0);
	}
	house_close(&h);
}

/* Where the API server does not refuse them: no number of theirs may reach the activators. */
static void
percents_out_of_bounds(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "",
		    "[{\"latestRevision\":true,\"percent\":-5},{\"latestRevision\":true,"
		    "\"tag\":\"t\",\"percent\":4294967296}]");
	house_run(&h);
	assert_service(
		&h, "default.hello",
		"hosts=hello.default.example.com local=" LOCAL(
			"hello") " | hello-00001 0 | hello-00001 100 t hosts=t-hello.default.example.com "
				 "local=" LOCAL("t-hello") " : hello-00001");
	house_close(&h);
}

static void
a_bare_route_goes_to_other_services(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	kn_world_apply(&h.w, KN_ROUTE,
		       "{\"metadata\":{\"name\":\"front\"},\"spec\":{\"traffic\":[{"
		       "\"configurationName\":\"hello\",\"percent\":100}]}}");
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_ROUTE, "front", "Ready"), "True");
	assert_service(&h, "default.front",
		       "hosts=front.default.example.com local=" LOCAL(
			       "front") " | "
					"default.hello/hello-00001 100 :");
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL("hello") " | hello-00001 100 "
									       ": hello-00001");
	house_close(&h);
}

static void
a_route_of_a_service_names_its_own(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	kn_world_apply(&h.w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"other\"},\"spec\":{\"template\":{\"spec\":{"
		       "\"containers\":[{\"image\":\"app:1\"}]}}}}");
	house_apply(
		&h, "app:1", "",
		"[{\"revisionName\":\"other-00001\",\"percent\":100,\"latestRevision\":false}]");
	house_run(&h);
	assert_string_equal(ROUTE(&h, "AllTrafficAssigned"),
			    "False RevisionNotOwned: Revision \"other-00001\" belongs to Service "
			    "\"\", not Service \"hello\".");
	house_close(&h);
}

static void
names_that_cannot_be(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_use_network(&h, "{\"domain-template\":\"{{.Name}}_{{.Namespace}}.{{.Domain}}\"}");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	assert_string_equal(ROUTE(&h, "AllTrafficAssigned"),
			    "False ErrorConfig: invalid domain name "
			    "\"hello_default.example.com\": expected labels of at most 63 "
			    "characters of a-z, 0-9 and \"-\", with dots between");
	house_close(&h);
}

static void
a_host_that_is_taken(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	h.taken = "hello.default.example.com ";
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    "False ReconcileIngressFailed: hello.default.example.com is taken by "
			    "service \"file\" of the conf file");
	assert_int_equal(h.n, 0);
	house_close(&h);
}

static void
domain_mappings(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	kn_world_apply(
		&h.w, KN_DOMAIN_MAPPING,
		"{\"metadata\":{\"name\":\"www.shop.org\"},\"spec\":{\"ref\":{\"name\":\"hello\","
		"\"kind\":\"Service\",\"apiVersion\":\"serving.knative.dev/v1\"}}}");
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "www.shop.org", "ReferenceResolved"),
			    "False ResolveFailed: services.serving.knative.dev \"hello\" not "
			    "found");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "www.shop.org", "Ready"), "True");
	assert_string_equal(kn_json_text(kn_world_get(&h.w, KN_DOMAIN_MAPPING, "www.shop.org"),
					 "status", "url", NULL),
			    "http://www.shop.org");
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com,www.shop.org local=" LOCAL(
			       "hello") " | "
					"hello-00001 100 : hello-00001");
	/* Another one of the same name is younger. */
	h.w.wall_s += 10;
	kn_world_apply(
		&h.w, KN_DOMAIN_MAPPING,
		"{\"metadata\":{\"name\":\"www.shop.org\",\"namespace\":\"thief\"},\"spec\":{"
		"\"ref\":{\"name\":\"hello\",\"kind\":\"Service\","
		"\"apiVersion\":\"serving.knative.dev/v1\"}}}");
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "www.shop.org", "Ready"), "True");
	/* A host that another source has is refused; the Route goes on without. */
	h.taken = "taken.org ";
	kn_world_apply(
		&h.w, KN_DOMAIN_MAPPING,
		"{\"metadata\":{\"name\":\"taken.org\"},\"spec\":{\"ref\":{\"name\":\"hello\","
		"\"kind\":\"Service\",\"apiVersion\":\"serving.knative.dev/v1\"}}}");
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "taken.org", "DomainClaimed"),
			    "False DomainClaimFailed: taken.org is taken by service \"file\" "
			    "of the conf file");
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	kn_world_delete(&h.w, KN_DOMAIN_MAPPING, "www.shop.org");
	kn_world_collect(&h.w);
	house_run(&h);
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL("hello") " | hello-00001 100 "
									       ": hello-00001");
	house_close(&h);
}

#define MAPPING(name, ns, route)                                                                   \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"" ns                                 \
	"\"},\"spec\":{\"ref\":{\"name\":\"" route                                                 \
	"\",\"kind\":\"Service\",\"apiVersion\":\"serving.knative.dev/v1\"}}}"
#define SERVICE(name, ns, traffic)                                                                 \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"" ns                                 \
	"\"},\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"image\":\"app:1\"}]}},"          \
	"\"traffic\":" traffic "}}"

/* A DomainMapping is no older than itself, however old its Route is. */
static void
a_mapping_takes_no_host_of_a_route(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING,
		       MAPPING("young.default.example.com", "default", "hello"));
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("young.default.svc", "default", "hello"));
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("young.default", "default", "hello"));
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "young.default.example.com", "Ready"),
			    "True");
	assert_string_equal(
		CONDITION(&h, KN_DOMAIN_MAPPING, "young.default.svc", "DomainClaimed"),
		"False DomainClaimFailed: The name is no host name outside of the cluster's own "
		"domain.");
	house_wait(&h, 10);
	kn_world_apply(&h.w, KN_SERVICE, SERVICE("young", "default", LATEST));
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_ROUTE, "young", "Ready"), "True");
	assert_service(&h, "default.young",
		       "hosts=young.default.example.com local=" LOCAL("young") " | young-00001 100 "
									       ": young-00001");
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL("hello") " | hello-00001 100 "
									       ": hello-00001");
	assert_string_equal(
		CONDITION(&h, KN_DOMAIN_MAPPING, "young.default.example.com", "DomainClaimed"),
		"False DomainClaimFailed: young.default.example.com is taken by Route "
		"default/young");
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "young.default", "DomainClaimed"),
			    "False DomainClaimFailed: young.default is taken by Route "
			    "default/young");
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	/* It is free again. */
	kn_world_delete(&h.w, KN_SERVICE, "young");
	kn_world_collect(&h.w);
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "young.default.example.com", "Ready"),
			    "True");
	house_close(&h);
}

/* Nor does a tag of an older Route, which goes on without. */
static void
a_tag_takes_no_host_of_a_route(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_use_network(&h, "{\"domain-template\":\"{{.Name}}.{{.Domain}}\"}");
	house_apply(&h, "app:1", "", "[{\"tag\":\"x\",\"percent\":100,\"latestRevision\":true}]");
	house_run(&h);
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	house_wait(&h, 10);
	kn_world_apply(&h.w, KN_SERVICE, SERVICE("x-hello", "other", LATEST));
	house_run(&h);
	assert_service(&h, "other.x-hello",
		       "hosts=x-hello.example.com "
		       "local=x-hello.other,x-hello.other.svc,x-hello.other.svc.cluster.local | "
		       "x-hello-00001 100 : x-hello-00001");
	assert_service(&h, "default.hello",
		       "hosts=hello.example.com local=" LOCAL("hello") " | hello-00001 100 : "
								       "hello-00001");
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    "False ReconcileIngressFailed: tag x: x-hello.example.com is taken by "
			    "Route other/x-hello");
	house_close(&h);
}

/* Of two made in the same second one has the name, and the other one says so. */
static void
two_mappings_of_one_name(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("www.shop.org", "default", "hello"));
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "www.shop.org", "Ready"), "True");
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("www.shop.org", "another", "missing"));
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "www.shop.org", "DomainClaimed"),
			    "False DomainAlreadyClaimed: The domain name is already in use by "
			    "another DomainMapping, of namespace another.");
	house_close(&h);
}

/* What is refused of a DomainMapping is not refused of the Route with its name. */
static void
a_mapping_with_the_name_of_a_route(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	h.taken = "hello ";
	house_apply(&h, "app:1", "", LATEST);
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("hello", "default", "hello"));
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "hello", "DomainClaimed"),
			    "False DomainClaimFailed: hello is taken by service \"file\" of the "
			    "conf file");
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	house_close(&h);
}

/* Whose a Revision is, its controller says: a label that says otherwise makes no endless argument
 * about which Routes name which Configuration. */
static void
a_revision_with_the_label_of_another(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", "[{\"revisionName\":\"hello-00001\",\"percent\":100}]");
	kn_world_apply(&h.w, KN_SERVICE, SERVICE("other", "default", LATEST));
	house_run(&h);
	kn_world_patch(&h.w, KN_REVISION, "hello-00001",
		       "{\"metadata\":{\"labels\":{\"serving.knative.dev/configuration\":"
		       "\"other\"}}}");
	house_run(&h);
	assert_string_equal(kn_json_text(kn_world_get(&h.w, KN_CONFIGURATION, "other"), "metadata",
					 "annotations", "serving.knative.dev/routes", NULL),
			    "other");
	house_close(&h);
}

/* The split as the status has it: "REVISION PERCENT …"; for free(). */
static char *
split(const struct house *h)
{
	const json_t *traffic = kn_json_at(kn_world_get(&h->w, KN_ROUTE, "hello"), "status",
					   "traffic", NULL);
	struct strbuf out;
	size_t i;

	strbuf_init(&out, 0);
	for (i = 0; i < json_array_size(traffic); i++)
		strbuf_addf(&out, "%s%s %d", i == 0 ? "" : ", ",
			    kn_json_text(json_array_get(traffic, i), "revisionName", NULL),
			    (int)kn_json_number(json_array_get(traffic, i), "percent", -1));
	return strbuf_take(&out);
}

#define assert_split(h, text)                                                                      \
	do {                                                                                       \
		char *is_ = split(h);                                                              \
		assert_string_equal(is_, text);                                                    \
		free(is_);                                                                         \
	} while (0)

#define IN_PROGRESS                                                                                \
	"Unknown RolloutInProgress: A gradual rollout of the latest revision(s) is in progress."

static void
a_gradual_rollout(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1",
		    ",\"annotations\":{\"serving.knative.dev/rollout-duration\":\"11s\"}", LATEST);
	house_run(&h);
	assert_split(&h, "hello-00001 100");
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	house_apply(&h, "app:2",
		    ",\"annotations\":{\"serving.knative.dev/rollout-duration\":\"11s\"}", LATEST);
	house_run(&h);
	assert_split(&h, "hello-00001 99, hello-00002 1");
	assert_string_equal(CONDITION(&h, KN_SERVICE, "hello", "Ready"), IN_PROGRESS);
	/* 1 s is the least: 10 steps of 1 s each. */
	house_wait(&h, 1);
	assert_split(&h, "hello-00001 89, hello-00002 11");
	house_wait(&h, 5);
	assert_split(&h, "hello-00001 79, hello-00002 21");
	/* A third one: the second goes no further. */
	house_apply(&h, "app:3",
		    ",\"annotations\":{\"serving.knative.dev/rollout-duration\":\"11s\"}", LATEST);
	house_run(&h);
	assert_split(&h, "hello-00001 79, hello-00002 20, hello-00003 1");
	house_wait(&h, 1);
	house_wait(&h, 1);
	assert_split(&h, "hello-00001 79, hello-00003 21");
	while (strcmp(ROUTE(&h, "Ready"), "True") != 0)
		house_wait(&h, 1);
	assert_split(&h, "hello-00003 100");
	assert_null(kn_json_at(kn_world_get(&h.w, KN_ROUTE, "hello"), "metadata", "annotations",
			       KN_ANNOTATION_ROLLOUT_STATE, NULL));
	house_close(&h);
}

#define JUDGED                                                                                     \
	",\"annotations\":{\"serving.knative.dev/rollout-duration\":\"10s\","                      \
	"\"activator.dev/abort_if\":\"errors>1%\"}"

/* What the requests come to decides, beside the time. */
static void
a_rollout_that_is_judged(void **state)
{
	struct house h;
	size_t i;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", JUDGED, LATEST);
	house_run(&h);
	h.verdict = ROLLOUT_MUST_WAIT;
	house_apply(&h, "app:2", JUDGED, LATEST);
	house_run(&h);
	for (i = 0; i < 60; i++)
		house_wait(&h, 1);
	assert_split(&h, "hello-00001 99, hello-00002 1");
	assert_string_equal(h.asked, "errors>1% of default.hello/hello-00002 beside "
				     "default.hello/hello-00001");
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    IN_PROGRESS " It waits: the newest one has not answered enough "
					"requests well enough yet");
	h.verdict = ROLLOUT_MAY_GO;
	house_wait(&h, 1);
	assert_string_not_equal(ROUTE(&h, "Ready"), "True");
	h.verdict = ROLLOUT_MUST_END;
	house_wait(&h, 1);
	assert_split(&h, "hello-00001 100");
	assert_non_null(strstr(ROUTE(&h, "IngressReady"),
			       "False RolloutAborted: The rollout was aborted, and hello-00001 "
			       "has the requests: hello-00002 at "));
	/* It stays so, whatever the verdict; also for a process that has just started. */
	h.verdict = ROLLOUT_MAY_GO;
	for (i = 0; i < 60; i++)
		house_wait(&h, 1);
	assert_split(&h, "hello-00001 100");
	/* The next one gets its chance. */
	house_apply(&h, "app:3", JUDGED, LATEST);
	house_run(&h);
	assert_split(&h, "hello-00001 99, hello-00003 1");
	for (i = 0; i < 60; i++)
		house_wait(&h, 1);
	assert_split(&h, "hello-00003 100");
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	assert_null(kn_json_at(kn_world_get(&h.w, KN_ROUTE, "hello"), "metadata", "annotations",
			       "activator.dev/rollout-state", NULL));
	house_close(&h);
}

/* The newest of three fails: the one before it has not been proven either. */
static void
a_rollout_aborted_during_another(void **state)
{
	struct house h;
	size_t i;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", JUDGED, LATEST);
	house_run(&h);
	house_apply(&h, "app:2", JUDGED, LATEST);
	house_run(&h);
	for (i = 0; i < 3; i++)
		house_wait(&h, 1);
	assert_split(&h, "hello-00001 66, hello-00002 34");
	house_apply(&h, "app:3", JUDGED, LATEST);
	house_run(&h);
	assert_split(&h, "hello-00001 66, hello-00002 33, hello-00003 1");
	h.failing = "default.hello/hello-00003";
	house_wait(&h, 1);
	h.failing = NULL;
	for (i = 0; i < 60; i++)
		house_wait(&h, 1);
	assert_split(&h, "hello-00001 100");
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    "False RolloutAborted: The rollout was aborted, and hello-00001 has "
			    "the requests: hello-00003 at 1 %: it fails");
	house_close(&h);
}

/* Without a judge's bounds it is as the user says. */
static void
an_aborted_rollout_that_is_wanted(void **state)
{
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", JUDGED, LATEST);
	house_run(&h);
	h.verdict = ROLLOUT_MUST_END;
	house_apply(&h, "app:2", JUDGED, LATEST);
	house_run(&h);
	house_wait(&h, 1);
	assert_split(&h, "hello-00001 100");
	house_apply(&h, "app:2", "", LATEST);
	house_run(&h);
	assert_split(&h, "hello-00002 100");
	assert_string_equal(ROUTE(&h, "Ready"), "True");
	house_close(&h);
}

static void
what_the_conf_file_allows(void **state)
{
	static const char no_local[] = "autoscaler { driver = kubernetes }\n",
			  bounded[] = "activator { listen = {\":8080\", \":8083 local\"} }\n"
				      "autoscaler { driver = kubernetes\n"
				      "allow_hosts = {\"default=*.shop.org\"} }\n";
	struct settings_errors errors;
	struct settings *s = settings_load_bytes("t", no_local, strlen(no_local), &errors);
	struct house h;

	(void)state;
	assert_non_null(s);
	settings_errors_free(&errors);
	house_open(&h); /* without config-domain all Routes are local */
	h.in.settings = s;
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	assert_string_equal(ROUTE(&h, "IngressReady"),
			    "False ReconcileIngressFailed: no address of the key listen has the "
			    "word local, which a cluster-local Route needs");
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_run(&h);
	assert_string_equal(ROUTE(&h, "IngressReady"), "True");
	house_close(&h);
	settings_free(&s);

	s = settings_load_bytes("t", bounded, strlen(bounded), &errors);
	assert_non_null(s);
	settings_errors_free(&errors);
	house_open(&h);
	h.in.settings = s;
	settings_free(&h.w.settings);
	h.w.settings = s;
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	kn_world_apply(
		&h.w, KN_DOMAIN_MAPPING,
		"{\"metadata\":{\"name\":\"a.shop.org\"},\"spec\":{\"ref\":{\"name\":\"hello\","
		"\"kind\":\"Route\",\"apiVersion\":\"serving.knative.dev/v1\"}}}");
	kn_world_apply(
		&h.w, KN_DOMAIN_MAPPING,
		"{\"metadata\":{\"name\":\"bank.org\"},\"spec\":{\"ref\":{\"name\":\"hello\","
		"\"kind\":\"Route\",\"apiVersion\":\"serving.knative.dev/v1\"}}}");
	/* An older one that may not have the name is in nobody's way. */
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("b.shop.org", "thief", "hello"));
	h.w.wall_s += 10;
	kn_world_apply(&h.w, KN_DOMAIN_MAPPING, MAPPING("b.shop.org", "default", "hello"));
	house_run(&h);
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "b.shop.org", "Ready"), "True");
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "a.shop.org", "Ready"), "True");
	assert_string_equal(CONDITION(&h, KN_DOMAIN_MAPPING, "bank.org", "DomainClaimed"),
			    "False DomainClaimFailed: host bank.org may not be claimed from "
			    "namespace default (allow_hosts)");
	house_close(&h);
}

/* --- settings --- */

static void
settings_of_a_revision(void **state)
{
	const struct revision_conf *r;
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	kn_world_apply(&h.w, KN_SERVICE,
		       "{\"metadata\":{\"name\":\"hello\",\"annotations\":{"
		       "\"activator.dev/sticky\":\"cookie:s\"}},\"spec\":{\"template\":{"
		       "\"metadata\":{\"annotations\":{\"autoscaling.knative.dev/min-scale\":\"1\","
		       "\"autoscaling.knative.dev/maxScale\":\"7\","
		       "\"autoscaling.knative.dev/target\":\"20\","
		       "\"autoscaling.knative.dev/window\":\"30s\","
		       "\"activator.dev/max_parked\":\"11\",\"activator.dev/window\":\"1\"}},"
		       "\"spec\":{\"containerConcurrency\":10,\"timeoutSeconds\":20,"
		       "\"containers\":[{\"image\":\"app:1\",\"ports\":[{\"name\":\"h2c\","
		       "\"containerPort\":9000}]}]}}}}");
	house_run(&h);
	r = house_revision(&h, "default.hello/hello-00001");
	assert_string_equal(r->launch.deployment, "default/hello-00001-deployment");
	assert_string_equal(r->launch.port, "user-port");
	assert_int_equal(r->limits.protocol, PROTOCOL_H2C);
	assert_int_equal(r->limits.container_concurrency, 10);
	assert_true(r->scaling.target == 10);
	assert_int_equal(r->scaling.min_scale, 1);
	assert_int_equal(r->scaling.max_scale, 7);
	assert_int_equal(r->scaling.initial_scale, 0); /* it has had that many */
	assert_int_equal(r->scaling.stable_window, INT64_C(30000000000));
	assert_int_equal(r->limits.response_timeout, INT64_C(20000000000));
	/* A mistake in one of ours leaves out all of ours. */
	assert_int_equal(r->limits.max_parked, 0);
	house_close(&h);
}

/* The collector deletes what a Service has owned in any order. */
static void
a_configuration_that_goes_first(void **state)
{
	const struct kn_object *o;
	struct house h;

	(void)state;
	house_open(&h);
	house_use_domain(&h, "{\"example.com\":\"\"}");
	house_apply(&h, "app:1", "", LATEST);
	house_run(&h);
	o = kn_cache_find(h.w.cache, KN_CONFIGURATION, "default", "hello");
	assert_true(kn_cache_remove(h.w.cache, KN_CONFIGURATION, "default", "hello", o->uid));
	assert_true(house_describe(&h));
	assert_service(&h, "default.hello",
		       "hosts=hello.default.example.com local=" LOCAL("hello") " :");
	house_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_is_served_and_then_ready),
		cmocka_unit_test(an_update_is_ready_when_it_is_routed),
		cmocka_unit_test(tags_have_hosts_of_their_own),
		cmocka_unit_test(a_local_service_has_no_public_host),
		cmocka_unit_test(placeholders_lead_to_the_activators),
		cmocka_unit_test(a_service_of_another_is_left_alone),
		cmocka_unit_test(targets_that_are_missing),
		cmocka_unit_test(percents_out_of_bounds),
		cmocka_unit_test(a_bare_route_goes_to_other_services),
		cmocka_unit_test(a_route_of_a_service_names_its_own),
		cmocka_unit_test(names_that_cannot_be),
		cmocka_unit_test(a_host_that_is_taken),
		cmocka_unit_test(domain_mappings),
		cmocka_unit_test(a_mapping_takes_no_host_of_a_route),
		cmocka_unit_test(a_tag_takes_no_host_of_a_route),
		cmocka_unit_test(two_mappings_of_one_name),
		cmocka_unit_test(a_mapping_with_the_name_of_a_route),
		cmocka_unit_test(a_revision_with_the_label_of_another),
		cmocka_unit_test(a_gradual_rollout),
		cmocka_unit_test(a_rollout_that_is_judged),
		cmocka_unit_test(a_rollout_aborted_during_another),
		cmocka_unit_test(an_aborted_rollout_that_is_wanted),
		cmocka_unit_test(what_the_conf_file_allows),
		cmocka_unit_test(settings_of_a_revision),
		cmocka_unit_test(a_configuration_that_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
