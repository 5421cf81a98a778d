# Who there is: tasks that Prefect starts, and servers. What each may is in rights.tf, worker.tf and workspace.tf.

locals {
  roles   = ["collector", "trainer", "publisher", "reviewer", "steward"]
  servers = ["prefect", "mlflow", "worker"]
  rights = {
    collector = data.aws_iam_policy_document.collector.json
    trainer   = data.aws_iam_policy_document.trainer.json
    publisher = data.aws_iam_policy_document.publisher.json
    reviewer  = data.aws_iam_policy_document.reviewer.json
    steward   = data.aws_iam_policy_document.steward.json
    mlflow    = data.aws_iam_policy_document.mlflow.json
    worker    = data.aws_iam_policy_document.worker.json
  }
}

data "aws_iam_policy_document" "only_ecs" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:aws:ecs:${var.region}:${local.account}:*"]
    }
  }
}

resource "aws_iam_role" "task" {
  for_each             = toset(concat(local.roles, local.servers))
  name                 = "${var.name}-${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.only_ecs.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "task" {
  for_each = local.rights
  name     = "rights"
  role     = aws_iam_role.task[each.key].id
  policy   = each.value
}

# What ECS itself does before a task begins: pull its image, read its secrets, open its log.
resource "aws_iam_role" "start" {
  for_each           = toset(concat(local.roles, local.servers))
  name               = "${var.name}-start-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.only_ecs.json
}

resource "aws_iam_role_policy" "start" {
  for_each = aws_iam_role.start
  name     = "start"
  role     = each.value.id
  policy   = data.aws_iam_policy_document.start[each.key].json
}

data "aws_iam_policy_document" "start" {
  for_each = aws_iam_role.start

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.task[each.key].arn}:*"]
  }

  dynamic "statement" {
    for_each = length(local.secrets_of[each.key]) > 0 ? [1] : []

    content {
      sid       = "ItsSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for name in values(local.secrets_of[each.key]) : aws_secretsmanager_secret.this[name].arn]
    }
  }

  dynamic "statement" {
    for_each = length(local.secrets_of[each.key]) > 0 ? [1] : []

    content {
      sid       = "KeyOfSecrets"
      actions   = ["kms:Decrypt"]
      resources = [aws_kms_key.this["platform"].arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${var.region}.amazonaws.com"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.repository_arns) > 0 ? [1] : []

    content {
      sid       = "Image"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = var.repository_arns
    }
  }

  dynamic "statement" {
    for_each = length(var.repository_arns) > 0 ? [1] : []

    content {
      sid       = "SignInToRegistry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # the action knows no resources
    }
  }
}
