"""Four eyes: proposed by one, approved by another, used once, for exactly what was seen."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, replace

import pytest

from gateway.config import ApprovalsConfig
from gateway.db import Database
from gateway.errors import ApprovalNeeded, AuthError, FareGatewayError, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.approvals import Action, Approval, Approvals, ApprovalState, Proposal
from gateway.registry.audit import iter_events
from gateway.registry.scopes import ALL, CEILINGS, TenantKind


def clerk(name: str, key: str = "1") -> Actor:
    return Actor(ActorKind.OPERATOR, f"key:{name}{key}", "metro", ALL, owner=name)


ANNA, BEN = clerk("anna"), clerk("ben")
BODY = hashlib.sha256(b"account 7, +12.00").digest()
WANTED = Proposal(Action.ADJUSTMENT, "account:7", BODY, -1200, {"amount": "-12.00"})


@dataclass
class Desk:
    database: Database
    now: int = 1_790_000_000_000_000

    def __post_init__(self) -> None:
        above = ApprovalsConfig().above_minor
        self.approvals = Approvals(self.database, above, clock=lambda: self.now)

    def refused(self, actor: Actor = ANNA, wanted: Proposal = WANTED, op: str = "op1") -> str:
        """Id of the proposal that waits."""
        with pytest.raises(ApprovalNeeded) as error:
            self.approvals.require(actor, wanted, operation_id=op)
        assert error.value.code == "APPROVAL_NEEDED"
        assert error.value.as_dict()["approval_id"] == error.value.approval_id
        return error.value.approval_id

    def go(self, wanted: Proposal = WANTED, op: str = "op1") -> Approval | None:
        return self.approvals.require(ANNA, wanted, operation_id=op)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_what_was_approved_by_another_is_done_once(desk: Desk) -> None:
    number = desk.refused()
    assert desk.refused() == number  # asking again proposes nothing new
    seen = desk.approvals.get(BEN, number)
    assert seen.as_dict()["summary"] == {"amount": "-12.00"}
    assert desk.approvals.approve(BEN, number, why="checked").state is ApprovalState.APPROVED
    assert desk.approvals.list_open(BEN)[0].decided_by == BEN.subject
    used = desk.go()
    assert used is not None
    assert (used.approval_id, used.operation_id) == (number, "op1")
    assert desk.go() == used  # the same operation after a crash
    assert desk.refused(op="op2") != number


def test_the_reason_is_bound_by_the_trail_and_not_told_there(desk: Desk) -> None:
    number = desk.refused()
    desk.approvals.approve(BEN, number, why="Mrs Wang rang")
    with desk.database.reading() as connection:
        told = list(iter_events(connection))[-1]
    assert told.action == "approval.approved"
    digest = hashlib.sha256(f"{number}\0Mrs Wang rang".encode()).hexdigest()
    assert json.loads(told.facts)["why_sha256"] == digest
    assert "Wang" not in told.facts


@pytest.mark.parametrize(
    "other",
    [ANNA, clerk("anna", key="2"), replace(BEN, owner="")],
    ids=["the proposer", "another key of theirs", "a key of nobody"],
)
def test_one_pair_of_eyes_is_not_enough(desk: Desk, other: Actor) -> None:
    number = desk.refused()
    with pytest.raises(AuthError, match="AUTH_SAME_EYES"):
        desk.approvals.approve(other, number)
    desk.refused()


OTHERS = [
    replace(WANTED, body_digest=hashlib.sha256(b"account 7, +13.00").digest()),
    replace(WANTED, subject="account:8"),
    replace(WANTED, action=Action.UNFREEZE),
]


@pytest.mark.parametrize("other", OTHERS, ids=["body", "subject", "action"])
def test_an_approval_is_for_what_was_seen(desk: Desk, other: Proposal) -> None:
    desk.approvals.approve(BEN, desk.refused())
    desk.refused(wanted=other)
    assert desk.go() is not None


def test_an_approval_is_for_whoever_proposed(desk: Desk) -> None:
    number = desk.refused()
    desk.approvals.approve(BEN, number)
    assert desk.refused(actor=clerk("carl")) != number


def test_proposals_and_approvals_end(desk: Desk) -> None:
    first = desk.refused()
    desk.now += 86_400_000_000
    assert desk.approvals.get(BEN, first).state is ApprovalState.EXPIRED
    assert desk.approvals.list_open(BEN) == []
    with pytest.raises(RegistryError, match="APPROVAL_CLOSED"):
        desk.approvals.approve(BEN, first)
    second = desk.refused()
    assert second != first
    desk.approvals.approve(BEN, second)
    desk.now += 86_400_000_000
    assert desk.refused() not in (first, second)


def test_a_rejected_proposal_stays_rejected(desk: Desk) -> None:
    number = desk.refused()
    assert desk.approvals.reject(BEN, number, why="wrong account").why == "wrong account"
    assert desk.approvals.reject(BEN, number).why == "wrong account"  # said before
    closed = ((desk.approvals.approve, BEN), (desk.approvals.reject, clerk("carl")))
    for decide, who in closed:
        with pytest.raises(RegistryError, match="APPROVAL_CLOSED"):
            decide(who, number)
    assert desk.refused() != number
    own = desk.refused()
    assert desk.approvals.reject(ANNA, own).state is ApprovalState.REJECTED  # taken back


def test_only_who_may_decides(desk: Desk) -> None:
    ward = Actor(ActorKind.TENANT, "key:w", "hospital", CEILINGS[TenantKind.HOSPITAL], owner="w")
    number = desk.refused()
    for call in (desk.approvals.approve, desk.approvals.reject, desk.approvals.get):
        with pytest.raises(AuthError, match="AUTH_SCOPE"):
            call(ward, number)
    with pytest.raises(AuthError, match="AUTH_SCOPE"):
        desk.approvals.list_open(ward)
    with pytest.raises(RegistryError, match="REGISTRY_UNKNOWN"):
        desk.approvals.approve(BEN, "apr_none")


POLICY = """
action        amount   needed
adjustment    0        yes
adjustment    -1       yes
unfreeze      0        yes
write_off     1        yes
credit_limit  499999   no
credit_limit  500000   yes
credit        99999999 no
"""


@pytest.mark.parametrize("line", POLICY.strip().splitlines()[1:])
def test_the_policy_is_a_table(desk: Desk, line: str) -> None:
    action, amount, needed = line.split()
    wanted = Proposal(Action(action), "account:7", BODY, int(amount))
    assert desk.approvals.is_needed(wanted) is (needed == "yes")
    if needed == "no":
        assert desk.go(wanted=wanted) is None


def test_of_many_at_once_one_uses_it(desk: Desk) -> None:
    desk.approvals.approve(BEN, desk.refused())
    done: list[str] = []

    def use(op: str) -> None:
        try:
            desk.go(op=op)
        except FareGatewayError:
            return
        done.append(op)

    threads = [threading.Thread(target=use, args=(f"op{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1


def test_an_operation_repeated_uses_no_second_approval(desk: Desk) -> None:
    desk.approvals.approve(BEN, desk.refused())
    first = desk.go(op="op1")
    desk.now += 1
    desk.approvals.approve(BEN, desk.refused(op="op2"))
    assert desk.go(op="op1") == first
    assert desk.go(op="op2") is not None


def test_approving_and_rejecting_at_once_has_one_end(desk: Desk) -> None:
    number = desk.refused()
    ends: list[ApprovalState] = []

    def decide(call: object) -> None:
        try:
            ends.append(call(BEN, number).state)  # type: ignore[operator]
        except RegistryError:
            return

    calls = [desk.approvals.approve, desk.approvals.reject] * 3
    threads = [threading.Thread(target=decide, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ends) == {desk.approvals.get(BEN, number).state}
