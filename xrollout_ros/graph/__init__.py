"""The ROS graph: its description as data, its nodes, its starters. The only folder that imports rclpy."""
