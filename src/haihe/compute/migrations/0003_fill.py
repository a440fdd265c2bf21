from django.db import migrations


def fill(apps, schema_editor):
    """Give existing jobs and attempts what they had through their quote."""
    Job = apps.get_model("compute", "Job")
    Attempt = apps.get_model("compute", "Attempt")
    Centre = apps.get_model("compute", "Centre")
    Agent = apps.get_model("compute", "Agent")
    for job in Job.objects.select_related("quote").iterator():
        job.offer_id, job.amount_micro = job.quote.offer_id, job.quote.amount_micro
        job.save(update_fields=["offer", "amount_micro"])
    for attempt in Attempt.objects.select_related("job").iterator():
        attempt.pool_id, attempt.claimed_at = attempt.job.pool_id, attempt.created_at
        attempt.save(update_fields=["pool", "claimed_at"])
    for centre in Centre.objects.filter(pools__isnull=False).distinct():
        Agent.objects.create(centre=centre, public_key=f"embedded:{centre.pk}")


class Migration(migrations.Migration):

    dependencies = [
        ("compute", "0002_network"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
