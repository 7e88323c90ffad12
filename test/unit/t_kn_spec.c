/* kn_spec. */
#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn_spec.h"

/* "'" stands for '"'. */
static json_t *
parse(const char *text)
{
	char *copy = xstrdup(text), *c;
	json_error_t error;
	json_t *value;

	for (c = copy; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	value = json_loads(copy, 0, &error);
	if (value == NULL)
		fail_msg("%s: %s", copy, error.text);
	free(copy);
	return value;
}

static void
check(const char *wanted, const char *present, bool holds)
{
	json_t *a = parse(present), *b = parse(wanted);

	if (kn_spec_holds(a, b) != holds)
		fail_msg("%s of %s: expected %d", present, wanted, holds);
	json_decref(b);
	json_decref(a);
}

#define DEPLOYMENT                                                                                   \
	"{'replicas':1,'progressDeadlineSeconds':600,'revisionHistoryLimit':0,'strategy':{'type':"   \
	"'RollingUpdate','rollingUpdate':{'maxUnavailable':0}},'template':{'metadata':{'labels':{"   \
	"'a':'b'}},'spec':{'enableServiceLinks':false,'terminationGracePeriodSeconds':300,"          \
	"'containers':[{'name':'c','image':'i','ports':[{'containerPort':8080}],'resources':{"       \
	"'limits':{'cpu':'0.5','memory':1073741824}},'readinessProbe':{'tcpSocket':{'port':8080},"   \
	"'periodSeconds':1},'livenessProbe':{'httpGet':{'port':8080},'timeoutSeconds':0},'env':[{"   \
	"'name':'X','value':''}],'volumeMounts':[{'name':'v','mountPath':'/v','readOnly':false}]}]," \
	"'volumes':[{'name':'v','emptyDir':{'sizeLimit':'1024Mi'}},{'name':'s','secret':{"           \
	"'secretName':'s'}}]}}}"

/* As a server answers to the one above. */
#define MADE(spec, pod, c, probe)                                                                  \
	"{'replicas':1,'progressDeadlineSeconds':600,'revisionHistoryLimit':0,'strategy':{'type':" \
	"'RollingUpdate','rollingUpdate':{'maxUnavailable':0,'maxSurge':'25%'}}," spec             \
	"'template':{'metadata':{'creationTimestamp':null,'labels':{'a':'b','theirs':'x'}},"       \
	"'spec':{" pod "'enableServiceLinks':false,'terminationGracePeriodSeconds':300,"           \
	"'restartPolicy':'Always','securityContext':{},'newerDefault':7,'containers':[{'name':"    \
	"'c','image':'i','ports':[{'containerPort':8080,'protocol':'TCP'}]," c                     \
	"'readinessProbe':{'tcpSocket':{'port':8080},'periodSeconds':1,'successThreshold':1,"      \
	"'failureThreshold':3,'timeoutSeconds':1},'livenessProbe':{'httpGet':{'port':8080,"        \
	"'path':'/','scheme':'HTTP'},'periodSeconds':10,'timeoutSeconds':" probe ","               \
	"'successThreshold':1,'failureThreshold':3},'env':[{'name':'X'}],'imagePullPolicy':"       \
	"'Always','terminationMessagePath':'/dev/termination-log','volumeMounts':[{'name':'v',"    \
	"'mountPath':'/v'}]}],'volumes':[{'name':'v','emptyDir':{'sizeLimit':'1Gi'}},{'name':"     \
	"'s','secret':{'secretName':'s','defaultMode':420}}]}}}"
#define RESOURCES "'resources':{'limits':{'cpu':'500m','memory':'1Gi'}},"

static void
what_a_server_fills_in_is_no_difference(void **state)
{
	(void)state;
	check(DEPLOYMENT, DEPLOYMENT, true);
	check(DEPLOYMENT, MADE("", "", RESOURCES, "1"), true);
	check("{'a':1.0,'b':null,'c':[],'d':{},'e':'','f':0,'g':false}", "{'a':1}", true);
	check("{'resources':{'limits':{'cpu':1}}}", "{'resources':{'limits':{'cpu':'1'}}}", true);
	check("{'resources':{'limits':{'cpu':'100u'}}}", "{'resources':{'limits':{'cpu':'1m'}}}",
	      true);
	check("{'resources':{'limits':{'memory':'1.1Gi'}}}",
	      "{'resources':{'limits':{'memory':'1181116006400m'}}}", true);
	check("{'type':'ExternalName','externalName':'a','sessionAffinity':'None','ports':[{'port':"
	      "80}]}",
	      "{'type':'ExternalName','externalName':'a','sessionAffinity':'None','ports':[{'port':"
	      "80,'protocol':'TCP','targetPort':80}]}",
	      true);
}

static void
what_a_hand_has_changed_is_one(void **state)
{
	static const struct {
		const char *wanted, *present;
	} v[] = {
		{DEPLOYMENT, MADE("'paused':true,", "", RESOURCES, "1")},
		{DEPLOYMENT, MADE("'minReadySeconds':5,", "", RESOURCES, "1")},
		{DEPLOYMENT, MADE("", "'nodeSelector':{'a':'b'},", RESOURCES, "1")},
		{DEPLOYMENT, MADE("", "'serviceAccountName':'root',", RESOURCES, "1")},
		{DEPLOYMENT, MADE("", "'hostNetwork':true,", RESOURCES, "1")},
		{DEPLOYMENT, MADE("", "'dnsPolicy':'None',", RESOURCES, "1")},
		{DEPLOYMENT, MADE("", "", RESOURCES "'command':['sh'],", "1")},
		{DEPLOYMENT, MADE("", "", RESOURCES "'tty':true,", "1")},
		{DEPLOYMENT, MADE("", "", "'resources':{},", "1")},
		{DEPLOYMENT, MADE("", "", "", "1")},
		{DEPLOYMENT,
		 MADE("", "", "'resources':{'limits':{'cpu':'1','memory':'1Gi'}},", "1")},
		{DEPLOYMENT, MADE("", "",
				  "'resources':{'limits':{'cpu':'500m','memory':'1Gi'},'requests':{"
				  "'cpu':'1m'}},",
				  "1")},
		{DEPLOYMENT,
		 MADE("", "", "'resources':{'limits':{'cpu':'500m','memory':'1Gi','x':'1'}},",
		      "1")},
		{DEPLOYMENT, MADE("", "", RESOURCES, "7")},
		{"{'containers':[{'name':'a'}]}", "{'containers':[{'name':'a'},{'name':'b'}]}"},
		{"{'containers':[{'name':'a'}]}", "{'containers':[{'name':'b'}]}"},
		{"{'containers':[{'name':'a'}]}", "{'containers':[]}"},
		{"{'containers':[{'resources':{}}]}",
		 "{'containers':[{'resources':{'requests':{'cpu':'1'}}}]}"},
		{"{'nodeSelector':{'a':'b'}}", "{'nodeSelector':{'a':'b','c':'d'}}"},
		{"{'metadata':{'labels':{'a':'b'}}}", "{'metadata':{'labels':{'a':'c'}}}"},
		{"{'metadata':{'annotations':{'a':'b'}}}", "{'metadata':{'labels':{'a':'b'}}}"},
		{"{'revisionHistoryLimit':0}", "{'revisionHistoryLimit':10}"},
		{"{'rollingUpdate':{'maxUnavailable':0}}",
		 "{'rollingUpdate':{'maxUnavailable':'25%'}}"},
		{"{'rollingUpdate':{'maxUnavailable':0}}",
		 "{'rollingUpdate':{'maxUnavailable':0,'maxSurge':1}}"},
		{"{'enableServiceLinks':false}", "{'enableServiceLinks':true}"},
		{"{'mounts':[{'readOnly':false}]}", "{'mounts':[{'readOnly':true}]}"},
		{"{'port':8080}", "{'port':'8080'}"},
		{"{'ports':[{'port':80}]}", "{'ports':[{'port':80}],'selector':{'a':'b'}}"},
		{"{'ports':[{'port':80}]}", "{'ports':{'port':80}}"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++)
		check(v[i].wanted, v[i].present, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_fills_in_is_no_difference),
		cmocka_unit_test(what_a_hand_has_changed_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
