# What runs all the time: Prefect's server, MLflow's, a worker of each pool, and the review page of review.tf.

locals {
  services = merge(
    {
      prefect = {
        role    = "prefect"
        image   = var.image
        port    = 4200
        health  = "/api/health"
        command = ["prefect", "server", "start", "--host", "0.0.0.0", "--port", "4200"]
        environment = {
          PREFECT_SERVER_ANALYTICS_ENABLED = "false"
          PREFECT_UI_API_URL               = local.environment.PREFECT_API_URL
        }
      }
      mlflow = {
        role    = "mlflow"
        image   = var.image
        port    = 5000
        health  = "/health"
        command = ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--no-serve-artifacts"]
        environment = {
          DO_NOT_TRACK                 = "true"
          MLFLOW_DEFAULT_ARTIFACT_ROOT = "s3://${module.artifacts.name}/mlflow"
          MLFLOW_SERVER_ALLOWED_HOSTS  = "localhost:*,mlflow.${var.name}.internal:*"
        }
      }
    },
    {
      for pool in concat(["cpu"], local.gpu_pool ? ["gpu"] : []) : "worker-${pool}" => {
        role    = "worker"
        image   = coalesce(var.worker_image, var.image)
        port    = 8080
        health  = "/health"
        command = ["prefect", "worker", "start", "--pool", pool, "--type", "ecs", "--with-healthcheck"]
        environment = {
          PREFECT_API_URL                                      = local.environment.PREFECT_API_URL
          PREFECT_WORKER_WEBSERVER_HOST                        = "127.0.0.1"
          PREFECT_WORKER_WEBSERVER_PORT                        = "8080"
          PREFECT_INTEGRATIONS_AWS_ECS_OBSERVER_SQS_QUEUE_NAME = aws_sqs_queue.ended.name
        }
      }
    },
    local.page_services,
  )

  # Never two of these at once: one that starts would change the database beneath the other.
  alone = ["prefect", "mlflow"]
}

resource "aws_ecs_task_definition" "service" {
  for_each                 = local.services
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 2048
  task_role_arn            = aws_iam_role.task[each.value.role].arn
  execution_role_arn       = aws_iam_role.start[each.value.role].arn

  container_definitions = jsonencode([{
    name         = each.key
    image        = each.value.image
    essential    = true
    user         = "10001:10001"
    command      = each.value.command
    environment  = [for name, value in merge({ AWS_DEFAULT_REGION = var.region }, each.value.environment) : { name = name, value = value }]
    secrets      = [for name, secret in local.secrets_of[each.value.role] : { name = name, valueFrom = aws_secretsmanager_secret.this[secret].arn }]
    portMappings = [{ containerPort = each.value.port, hostPort = each.value.port, protocol = "tcp" }]
    mountPoints  = contains(local.has_workspace, each.value.role) ? [{ sourceVolume = "workspace", containerPath = "/workspace" }] : []
    volumesFrom  = []
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${each.value.port}${each.value.health}', timeout=5)"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 120
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.task[each.value.role].name
        awslogs-region        = var.region
        awslogs-stream-prefix = each.key
      }
    }
  }])

  dynamic "volume" {
    for_each = contains(local.has_workspace, each.value.role) ? [1] : []

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

resource "aws_service_discovery_service" "this" {
  for_each = toset(local.alone)
  name     = each.key

  dns_config {
    namespace_id = aws_service_discovery_private_dns_namespace.this.id

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

resource "aws_ecs_service" "this" {
  for_each        = local.services
  name            = each.key
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.service[each.key].arn
  desired_count   = var.running ? 1 : 0
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE"

  deployment_minimum_healthy_percent = contains(local.alone, each.key) ? 0 : 100
  deployment_maximum_percent         = contains(local.alone, each.key) ? 100 : 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this[contains(local.alone, each.key) ? "servers" : "tasks"].id]
    assign_public_ip = false
  }

  dynamic "service_registries" {
    for_each = contains(local.alone, each.key) ? [1] : []

    content {
      registry_arn = aws_service_discovery_service.this[each.key].arn
    }
  }

  dynamic "load_balancer" {
    for_each = each.key == "review" ? aws_lb_listener.page : []

    content {
      target_group_arn = aws_lb_target_group.page[0].arn
      container_name   = "review"
      container_port   = 8080
    }
  }
}
