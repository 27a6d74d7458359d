from openkcm.sdk.conformance.notifier import NotifierContract


class TestSmtp(NotifierContract):
    pass
