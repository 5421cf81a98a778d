# The workspace that tasks of the cpu pool share: params.yaml, dvc.lock, DVC's cache, runs/. Trainers have their own disk.

resource "aws_efs_file_system" "workspace" {
  encrypted       = true
  kms_key_id      = aws_kms_key.this["platform"].arn
  throughput_mode = "elastic"

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }

  lifecycle_policy {
    transition_to_primary_storage_class = "AFTER_1_ACCESS"
  }

  tags = { Name = "${var.name}-workspace" }
}

resource "aws_efs_backup_policy" "workspace" {
  count          = var.protect ? 1 : 0
  file_system_id = aws_efs_file_system.workspace.id

  backup_policy {
    status = "ENABLED"
  }
}

resource "aws_efs_mount_target" "workspace" {
  count           = length(var.subnet_ids)
  file_system_id  = aws_efs_file_system.workspace.id
  subnet_id       = var.subnet_ids[count.index]
  security_groups = [aws_security_group.this["files"].id]
}

resource "aws_efs_access_point" "workspace" {
  file_system_id = aws_efs_file_system.workspace.id

  posix_user {
    uid = 10001
    gid = 10001
  }

  root_directory {
    path = "/workspace"

    creation_info {
      owner_uid   = 10001
      owner_gid   = 10001
      permissions = "0700"
    }
  }
}

locals {
  has_workspace = ["collector", "publisher", "reviewer", "steward"]
}

resource "aws_iam_role_policy" "workspace" {
  for_each = toset(local.has_workspace)
  name     = "workspace"
  role     = aws_iam_role.task[each.key].id
  policy   = data.aws_iam_policy_document.workspace.json
}

data "aws_iam_policy_document" "workspace" {
  statement {
    sid       = "Workspace"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [aws_efs_file_system.workspace.arn]

    condition {
      test     = "StringEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [aws_efs_access_point.workspace.arn]
    }
  }
}

# Only by TLS, and only by whom IAM allows it.
resource "aws_efs_file_system_policy" "workspace" {
  file_system_id = aws_efs_file_system.workspace.id
  policy         = data.aws_iam_policy_document.files.json
}

data "aws_iam_policy_document" "files" {
  statement {
    sid       = "OnlyByRole"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [aws_efs_file_system.workspace.arn]

    principals {
      type        = "AWS"
      identifiers = [for role in local.has_workspace : aws_iam_role.task[role].arn]
    }
  }

  statement {
    sid       = "OnlyByTls"
    effect    = "Deny"
    actions   = ["*"]
    resources = [aws_efs_file_system.workspace.arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
