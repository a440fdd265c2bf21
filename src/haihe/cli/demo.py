"""The whole chain on one machine, with real parts and fictional parties.

Each run draws up a new contract, is granted a voucher on it, runs the pack ``tumour_triage`` as a
metered job on real data, settles it, has the scenario accepted, and moves the indicator by one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid5

from django.utils.translation import gettext as _

from haihe.cli.demo_ground import CONSOLE, FIRM, OPERATOR, PLAN, SCHEME, TARGET, Ground
from haihe.compute.domain import HOUR_MS, JobState
from haihe.compute.labels import STATES
from haihe.compute.models import Contract, Job, UsageRecord
from haihe.compute.services import contracts, jobs
from haihe.compute.tasks import Dispatcher
from haihe.data import services as data
from haihe.evidence.inspection import verify_entries
from haihe.kernel.clock import now
from haihe.kernel.days import local_day
from haihe.kernel.errors import Unavailable
from haihe.kernel.money import CNY, MICRO, format_micro
from haihe.kernel.outbox import deliver_due
from haihe.kernel.phrases import translated
from haihe.kernel.settings import load_settings
from haihe.ledger import services as ledger
from haihe.packs import services as packs
from haihe.packs.models import Evaluation
from haihe.parties import services as parties
from haihe.parties.models import Organisation
from haihe.programme.models import Scheme, Voucher
from haihe.programme.services import scenarios, vouchers

CONTRACT_MICRO = 1_000 * MICRO
JOB_TIMEOUT_S = 600


@dataclass
class Demo(Ground):
    """One run of the chain. ``say(step, text)`` is told what happened, as it happens."""

    def run(self) -> dict[str, Any]:
        """Carry the chain out; the facts of each step."""
        before = self._lay_the_ground()
        voucher = self._get_voucher()
        quote, job = self._run_pack(voucher)
        evaluation = self._evaluation(job)
        self._accept_scenario(evaluation)
        after = self._indicator()
        head = verify_entries()
        audit = ledger.audit(CONSOLE)
        self.say(
            _("evidence"),
            _("{size} entries, signed and verified; the books balance: {balanced}").format(
                size=head.size if head else 0, balanced=_("yes") if audit.balanced else _("NO")
            ),
        )
        return {
            "plan": PLAN,
            "voucher": {
                "id": voucher.number,
                "amount_micro": voucher.amount_micro,
                "contract": voucher.contract.number,
            },
            "quote": {
                "id": str(quote.pk),
                "lines": quote.lines,
                "reasons": quote.reasons,
                "amount_micro": quote.amount_micro,
            },
            "job": {"id": str(job.pk), "state": job.state, "pool": str(job.pool)},
            "usage": self._usage_facts(job),
            "settlement": self._settlement_facts(job, is_balanced=audit.balanced),
            "evaluation": {
                "id": str(evaluation.pk),
                "metric": evaluation.metric,
                "score": evaluation.score,
                "interval": [evaluation.low, evaluation.high],
                "baseline": evaluation.baseline,
                "permuted": evaluation.permuted,
            },
            "evidence": {"size": head.size if head else 0, "verified": head is not None},
            "indicator": {"code": TARGET, "before": before, "after": after},
            "open": load_settings().public_url,
        }

    @staticmethod
    def _usage_facts(job: Job) -> dict[str, Any]:
        usage = UsageRecord.objects.filter(attempt__job=job).last()
        assert usage is not None, "a job that succeeded was metered"
        return {
            "cpu_seconds": usage.cpu_ms / 1e3,
            "wall_seconds": usage.wall_ms / 1e3,
            "peak_memory_bytes": usage.peak_memory_bytes,
            "output_bytes": usage.output_bytes,
        }

    def _settlement_facts(self, job: Job, *, is_balanced: bool) -> dict[str, Any]:
        settlement = job.settlement
        paid = sum(share["amount_micro"] for share in settlement.shares)
        return {
            "id": str(settlement.pk),
            "amount_micro": settlement.amount_micro,
            "lines": settlement.lines,
            "balanced": is_balanced and paid == settlement.amount_micro,
            "paid_by": {
                "voucher": self._paid(settlement.shares, voucher=True),
                "firm": self._paid(settlement.shares, voucher=False),
            },
        }

    def _get_voucher(self) -> Voucher:
        firm, seller = self._principal(FIRM), self._principal(OPERATOR)
        self._top_up()
        number = f"DEMO-{now():%Y%m%d}-{Contract.objects.count() + 1:04d}"
        today = local_day()
        contracts.create_contract(
            firm,
            number=number,
            buyer=FIRM.slug,
            provider=OPERATOR.slug,
            amount_micro=CONTRACT_MICRO,
            eligible_micro=CONTRACT_MICRO,
            begins_on=today,
            ends_on=today + timedelta(days=364),
        )
        contracts.sign_contract(seller, number)
        rules = Scheme.objects.get(slug=SCHEME).rules
        applied = vouchers.apply_for_voucher(
            firm,
            SCHEME,
            contract=number,
            amount_micro=CONTRACT_MICRO * rules.ratio_percent // 100,
            declared=[declaration.code for declaration in rules.declarations],
        )
        voucher = vouchers.approve_voucher(self.officer, applied.number)
        self.say(
            _("voucher"),
            _("{number}: {amount} reserved on contract {contract}, {count} conditions met").format(
                number=voucher.number,
                amount=format_micro(voucher.amount_micro),
                contract=number,
                count=len(voucher.verdicts),
            ),
        )
        return voucher

    def _top_up(self) -> None:
        """The firm's own money: a bank transfer, recorded by the platform's operator."""
        firm = Organisation.objects.get(slug=FIRM.slug)
        account = ledger.open_cash(firm.pk, name=firm.name)
        account.refresh_from_db()
        if account.posted_micro - account.held_micro < CONTRACT_MICRO:
            ledger.deposit(
                parties.principal_of_email("demo-operator@haihe.test"),
                account.pk,
                transfer_id=uuid5(account.pk, f"deposit:{account.posted_micro}"),
                amount_micro=10 * CONTRACT_MICRO,
                reference="demo bank transfer",
            )

    def _run_pack(self, voucher: Voucher) -> tuple[Any, Job]:
        firm = self._principal(FIRM)
        shown = self.showcase
        version = data.find_version(firm, shown.dataset)
        quote = packs.quote_pack(
            firm,
            shown.pack,
            organisation=FIRM.slug,
            inputs={self._input: f"{shown.dataset}@{version.number}"},
            contract=voucher.contract.number,
        )
        self.say(
            _("quote"),
            _("at most {amount}; {why}").format(
                amount=format_micro(quote.amount_micro),
                why="; ".join(map(translated, quote.reasons)),
            ),
        )
        job = jobs.submit_job(firm, quote.pk)
        self._wait_for(job)
        job = jobs.find_job(firm, job.pk)
        self._report_job(job)
        return quote, job

    def _wait_for(self, job: Job) -> None:
        deadline = time.monotonic() + JOB_TIMEOUT_S
        with Dispatcher() as dispatcher:
            while job.finished_at is None:
                dispatcher.tick()
                deliver_due()
                job.refresh_from_db(fields=["finished_at"])
                if time.monotonic() > deadline:
                    raise Unavailable
                time.sleep(0.1)

    def _report_job(self, job: Job) -> None:
        usage = UsageRecord.objects.filter(attempt__job=job).last()
        if job.state != JobState.SUCCEEDED or usage is None:
            tail = jobs.read_log(self._principal(FIRM), job.pk).text[-2_000:]
            self.say(_("job"), f"{job.state} ({job.end_reason}) {job.message}\n{tail}")
            raise SystemExit(1)
        self.say(
            _("job"),
            _("{job} {state}: {cpu:.2f} CPU seconds, {memory} MiB at most").format(
                job=job.pk,
                state=str(STATES[JobState(job.state)]).lower(),
                cpu=usage.cpu_ms / 1e3,
                memory=usage.peak_memory_bytes >> 20,
            ),
        )
        shares = job.settlement.shares
        self.say(
            _("settlement"),
            _("{amount} for {hours:.5f} CPU-hours and the minimum charge: {voucher} from the "
              "voucher, {firm} from the firm").format(
                amount=format_micro(job.settlement.amount_micro),
                hours=usage.cpu_ms / HOUR_MS,
                voucher=format_micro(self._paid(shares, voucher=True)),
                firm=format_micro(self._paid(shares, voucher=False)),
            ),
        )  # fmt: skip

    def _evaluation(self, job: Job) -> Evaluation:
        deliver_due()
        evaluation = packs.evaluate_job(job.pk)
        assert evaluation is not None
        if evaluation.state != Evaluation.State.SCORED:
            self.say(_("evaluation"), evaluation.message)
            raise SystemExit(1)
        self.say(
            _("evaluation"),
            _("{metric} {score:.4f} (95 % interval {low:.4f} to {high:.4f}); baseline "
              "{baseline:.3f}; labels permuted {permuted:.3f}").format(
                metric=evaluation.metric,
                score=evaluation.score,
                low=evaluation.low,
                high=evaluation.high,
                baseline=evaluation.baseline,
                permuted=evaluation.permuted,
            ),
        )  # fmt: skip
        return evaluation

    def _accept_scenario(self, evaluation: Evaluation) -> None:
        proposed = scenarios.propose_scenario(
            self._principal(FIRM),
            evaluation=evaluation.pk,
            plan=PLAN,
            measure=self.showcase.manifest.measure,
            title=self.showcase.scenario,
            title_en=self.showcase.scenario_en,
        )
        scenarios.accept_scenario(self.officer, proposed.pk, note="demo")
        self.say(
            _("scenario"),
            _("accepted under measure {measure}: {code} now stands at {after}").format(
                measure=self.showcase.manifest.measure, code=TARGET, after=self._indicator()
            ),
        )

    @staticmethod
    def _paid(shares: list[dict[str, Any]], *, voucher: bool) -> int:
        return sum(s["amount_micro"] for s in shares if (s["asset"] != CNY) == voucher)
