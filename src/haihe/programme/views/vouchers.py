"""Pages of vouchers: the list, one with its verdicts and history, and the application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import batched
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from haihe.evidence.labels import kind_label
from haihe.evidence.services import find as find_evidence
from haihe.kernel.clock import now
from haihe.kernel.export import EXPORT_ROWS, export_asked, export_table
from haihe.kernel.forms import shown_on
from haihe.kernel.pagination import MAX_LIMIT, paginate
from haihe.kernel.texts import called
from haihe.policy.domain import Principal
from haihe.policy.http import Request
from haihe.policy.services import is_allowed
from haihe.programme import labels
from haihe.programme.domain.vouchers import Verdict
from haihe.programme.forms import ApplicationForm, DecisionForm, VoucherFilter
from haihe.programme.models import Voucher
from haihe.programme.services import vouchers as services
from haihe.programme.services.books import VoucherBalance, voucher_balance, voucher_balances
