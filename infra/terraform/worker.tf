# Prefect's workers: they may start the tasks of tasks.tf, in this cluster, with these roles and no others.

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "StartTasks"
    actions   = ["ecs:RunTask"]
    resources = [for role in local.roles : "${aws_ecs_task_definition.task[role].arn_without_revision}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "PassTheirRoles"
    actions   = ["iam:PassRole"]
    resources = concat([for role in local.roles : aws_iam_role.task[role].arn], [for role in local.roles : aws_iam_role.start[role].arn])

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "LookAfterThem"
    actions   = ["ecs:DescribeTasks", "ecs:StopTask"]
    resources = ["arn:aws:ecs:${var.region}:${local.account}:task/${var.name}/*"]
  }

  statement {
    sid       = "NameTheirRun"
    actions   = ["ecs:TagResource"]
    resources = ["arn:aws:ecs:${var.region}:${local.account}:task/${var.name}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "SeeHowTheyEnd"
    actions   = ["sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.ended.arn]
  }

  statement {
    sid       = "ReadWhatTheyLastSaid"
    actions   = ["logs:GetLogEvents"]
    resources = [for role in local.roles : "${aws_cloudwatch_log_group.task[role].arn}:*"]
  }

  statement {
    sid       = "Look"
    actions   = ["ecs:DescribeTaskDefinition", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]
    resources = ["*"] # these actions know no resources
  }
}

# Of tasks that ended: prefect-aws reads it, and marks runs as crashed whose task is gone.
resource "aws_sqs_queue" "ended" {
  name                      = "${var.name}-ended-tasks"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 24 * 3600
}

resource "aws_sqs_queue_policy" "ended" {
  queue_url = aws_sqs_queue.ended.id
  policy    = data.aws_iam_policy_document.ended.json
}

data "aws_iam_policy_document" "ended" {
  statement {
    sid       = "EventsOfThisRule"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.ended.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.ended.arn]
    }
  }
}

resource "aws_cloudwatch_event_rule" "ended" {
  name        = "${var.name}-ended-tasks"
  description = "For Prefect's workers."

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail      = { clusterArn = [aws_ecs_cluster.this.arn] }
  })
}

resource "aws_cloudwatch_event_target" "ended" {
  rule = aws_cloudwatch_event_rule.ended.name
  arn  = aws_sqs_queue.ended.arn
}
