# A task of each role. Prefect's workers may start these and no others, with a command of their own.

locals {
  on_gpu = { for role in local.roles : role => role == "trainer" && local.gpu_pool }
}

resource "aws_ecs_task_definition" "task" {
  for_each                 = toset(local.roles)
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = [local.on_gpu[each.key] ? "EC2" : "FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.on_gpu[each.key] ? var.gpu.cpu : var.cpu_task.cpu
  memory                   = local.on_gpu[each.key] ? var.gpu.memory : var.cpu_task.memory
  task_role_arn            = aws_iam_role.task[each.key].arn
  execution_role_arn       = aws_iam_role.start[each.key].arn

  container_definitions = jsonencode([
    merge(
      {
        name         = "genloop"
        image        = local.on_gpu[each.key] ? coalesce(var.gpu_image, var.image) : var.image
        essential    = true
        user         = "10001:10001"
        command      = ["python", "-m", "prefect.engine"]
        stopTimeout  = 120 # s, for a checkpoint
        environment  = [for name, value in local.environments[each.key] : { name = name, value = value }]
        secrets      = [for name, secret in local.secrets_of[each.key] : { name = name, valueFrom = aws_secretsmanager_secret.this[secret].arn }]
        mountPoints  = contains(local.has_workspace, each.key) ? [{ sourceVolume = "workspace", containerPath = "/workspace" }] : []
        portMappings = []
        volumesFrom  = []
        logConfiguration = {
          logDriver = "awslogs"
          options = {
            awslogs-group         = aws_cloudwatch_log_group.task[each.key].name
            awslogs-region        = var.region
            awslogs-stream-prefix = "task"
          }
        }
        linuxParameters = { initProcessEnabled = true }
      },
      local.on_gpu[each.key] ? { resourceRequirements = [{ type = "GPU", value = tostring(var.gpu.gpus) }] } : {},
    )
  ])

  dynamic "ephemeral_storage" {
    for_each = local.on_gpu[each.key] ? [] : [1]

    content {
      size_in_gib = var.cpu_task.disk_gib
    }
  }

  dynamic "volume" {
    for_each = contains(local.has_workspace, each.key) ? [1] : []

    content {
      name = "workspace"

      efs_volume_configuration {
        file_system_id     = aws_efs_file_system.workspace.id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = aws_efs_access_point.workspace.id
          iam             = "ENABLED"
        }
      }
    }
  }
}
