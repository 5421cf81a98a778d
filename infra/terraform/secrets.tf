# Places for secrets. Their values are put there by hand, see the README, and so are never in Terraform's state.

locals {
  secrets = {
    prefect-auth     = "name:password of Prefect's server"
    prefect-database = "postgresql+asyncpg://…, Prefect's"
    mlflow-database  = "postgresql+psycopg://…, MLflow's"
    feedback         = "postgresql+psycopg://…, feedback's"
    tombstone-key    = "the key of what was forgotten"
    signing-key      = "PEM, of what batches are signed with"
    events           = "what other systems sign outcomes with"
  }

  client   = { PREFECT_API_AUTH_STRING = "prefect-auth" }
  feedback = { GENLOOP_FEEDBACK_URL = "feedback" }
  signing  = { GENLOOP_SIGNING_KEY = "signing-key" }
  forgets  = { GENLOOP_TOMBSTONE_KEY = "tombstone-key" }
  events   = { for name, secret in { GENLOOP_EVENTS_SECRET = "events" } : name => secret if var.events }

  # Which variable of whose environment has which.
  secrets_of = {
    collector = merge(local.client, local.forgets)
    trainer   = local.client
    publisher = merge(local.client, local.feedback, local.signing)
    reviewer  = merge(local.client, local.feedback, local.signing, local.events)
    steward   = merge(local.client, local.feedback, local.signing, local.forgets)
    prefect = {
      PREFECT_API_DATABASE_CONNECTION_URL = "prefect-database"
      PREFECT_SERVER_API_AUTH_STRING      = "prefect-auth"
    }
    mlflow = { MLFLOW_BACKEND_STORE_URI = "mlflow-database" }
    worker = local.client
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each                = local.secrets
  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.this["platform"].arn
  recovery_window_in_days = var.protect ? 30 : 0
}
