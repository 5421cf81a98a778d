# Where tasks run: the pool cpu on Fargate, the pool gpu on machines that come and go (gpu.tf).

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled" # how many tasks of a server run, for the alarms
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = concat(["FARGATE", "FARGATE_SPOT"], aws_ecs_capacity_provider.gpu[*].name)
}

locals {
  gpu_pool = var.gpu.most > 0
  s3       = "https://s3.${var.region}.amazonaws.com"

  # What genloop is told of where it runs: the README's "What to change where".
  environment = {
    AWS_DEFAULT_REGION     = var.region
    DO_NOT_TRACK           = "true"
    GENLOOP_S3_ENDPOINT    = local.s3
    GENLOOP_BUCKET         = module.content.name
    GENLOOP_DVC_REMOTE     = "s3://${module.artifacts.name}/dvc"
    GENLOOP_S3_SSE         = "aws:kms"
    GENLOOP_S3_KMS_KEY     = aws_kms_key.this["content"].arn
    GENLOOP_S3_TAGS        = length(var.object_tags) > 0 ? jsonencode(var.object_tags) : ""
    GENLOOP_MLFLOW_URI     = "http://mlflow.${var.name}.internal:5000"
    GENLOOP_WORKSPACE      = "/workspace"
    MLFLOW_S3_ENDPOINT_URL = local.s3
    PREFECT_API_URL        = "http://prefect.${var.name}.internal:4200/api"
  }

  # A trainer knows no bucket but the one of artifacts, and sends nothing to DVC's remote.
  trainers_own = {
    GENLOOP_BUCKET     = module.artifacts.name
    GENLOOP_S3_KMS_KEY = aws_kms_key.this["artifacts"].arn
    GENLOOP_DVC_PUSH   = "false"
  }

  environments = {
    for role in local.roles : role => merge(
      { for name, value in local.environment : name => value if value != "" },
      { for name, value in local.trainers_own : name => value if role == "trainer" },
    )
  }
}
