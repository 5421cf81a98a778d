# Machines with GPUs: none until a task asks for one, none again some minutes after the last one ended.

resource "aws_iam_role" "machine" {
  count              = local.gpu_pool ? 1 : 0
  name               = "${var.name}-machine"
  assume_role_policy = data.aws_iam_policy_document.only_ec2.json
}

data "aws_iam_policy_document" "only_ec2" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "machine" {
  count  = local.gpu_pool ? 1 : 0
  name   = "join-the-cluster"
  role   = aws_iam_role.machine[0].id
  policy = data.aws_iam_policy_document.machine.json
}

# Only to join this cluster: images and logs are the tasks' start roles', data the tasks' own.
data "aws_iam_policy_document" "machine" {
  statement {
    sid       = "Join"
    actions   = ["ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance", "ecs:Submit*"]
    resources = [aws_ecs_cluster.this.arn]
  }

  statement {
    sid       = "Work"
    actions   = ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"]
    resources = ["arn:aws:ecs:${var.region}:${local.account}:container-instance/${var.name}/*"]
  }

  statement {
    sid       = "FindTheWay"
    actions   = ["ecs:DiscoverPollEndpoint"]
    resources = ["*"] # the action knows no resources
  }
}

resource "aws_iam_instance_profile" "machine" {
  count = local.gpu_pool ? 1 : 0
  name  = "${var.name}-machine"
  role  = aws_iam_role.machine[0].name
}

resource "aws_launch_template" "gpu" {
  count         = local.gpu_pool ? 1 : 0
  name          = "${var.name}-gpu"
  image_id      = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
  instance_type = var.gpu.type

  vpc_security_group_ids = [aws_security_group.this["trainers"].id]

  iam_instance_profile {
    arn = aws_iam_instance_profile.machine[0].arn
  }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # not from within a container
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.gpu.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "instance_market_options" {
    for_each = var.gpu.spot ? [1] : []

    content {
      market_type = "spot"
    }
  }

  user_data = base64encode(<<-CONFIG
    #!/bin/bash
    cat >> /etc/ecs/ecs.config <<'END'
    ECS_CLUSTER=${var.name}
    ECS_ENABLE_GPU_SUPPORT=true
    ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
    ECS_AWSVPC_BLOCK_IMDS=true
    END
  CONFIG
  )
}

resource "aws_autoscaling_group" "gpu" {
  count                 = local.gpu_pool ? 1 : 0
  name                  = "${var.name}-gpu"
  min_size              = 0
  max_size              = var.gpu.most
  vpc_zone_identifier   = var.subnet_ids
  protect_from_scale_in = true # ECS takes away machines without tasks only

  launch_template {
    id      = aws_launch_template.gpu[0].id
    version = "$Latest"
  }

  dynamic "tag" {
    for_each = { AmazonECSManaged = "", project = var.name }

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity] # is ECS's to say
  }
}

resource "aws_ecs_capacity_provider" "gpu" {
  count = local.gpu_pool ? 1 : 0
  name  = "${var.name}-gpu"

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.gpu[0].arn
    managed_termination_protection = "ENABLED"

    managed_scaling {
      status                    = "ENABLED"
      target_capacity           = 100
      minimum_scaling_step_size = 1
      maximum_scaling_step_size = var.gpu.most
    }
  }
}
