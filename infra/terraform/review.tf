# The review page behind TLS, where a certificate for it is given.

locals {
  page = var.review[*]

  page_services = {
    for page in local.page : "review" => {
      role        = "reviewer"
      image       = var.image
      port        = 8080
      health      = "/healthz"
      command     = ["genloop", "review", "--host", "0.0.0.0", "--port", "8080", "--https"]
      environment = local.environments.reviewer
    }
  }
}

resource "aws_security_group" "page" {
  count       = length(local.page)
  name        = "${var.name}-page"
  description = "the review page's balancer"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "page" {
  for_each          = toset(flatten(local.page[*].from))
  security_group_id = aws_security_group.page[0].id
  cidr_ipv4         = each.key
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "page" {
  count                        = length(local.page)
  security_group_id            = aws_security_group.page[0].id
  referenced_security_group_id = aws_security_group.this["tasks"].id
  from_port                    = 8080
  to_port                      = 8080
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "review" {
  count                        = length(local.page)
  security_group_id            = aws_security_group.this["tasks"].id
  referenced_security_group_id = aws_security_group.page[0].id
  from_port                    = 8080
  to_port                      = 8080
  ip_protocol                  = "tcp"
}

resource "aws_lb" "page" {
  count                      = length(local.page)
  name                       = "${var.name}-page"
  internal                   = var.review.internal
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.page[0].id]
  subnets                    = coalescelist(var.review.subnet_ids, var.subnet_ids)
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protect
}

resource "aws_lb_target_group" "page" {
  count                = length(local.page)
  name                 = "${var.name}-page"
  port                 = 8080
  protocol             = "HTTP"
  target_type          = "ip"
  vpc_id               = var.vpc_id
  deregistration_delay = 30

  health_check {
    path    = "/healthz"
    matcher = "200"
  }
}

resource "aws_lb_listener" "page" {
  count             = length(local.page)
  load_balancer_arn = aws_lb.page[0].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.review.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.page[0].arn
  }
}

resource "aws_cloudwatch_metric_alarm" "page" {
  count               = length(local.page)
  alarm_name          = "${var.name}-page-unhealthy"
  alarm_description   = "The review page does not answer its balancer: see the log group /${var.name}/reviewer."
  actions_enabled     = var.running
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = { LoadBalancer = aws_lb.page[0].arn_suffix, TargetGroup = aws_lb_target_group.page[0].arn_suffix }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
