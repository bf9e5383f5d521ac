"""Who may drive instead of the policy: keyboard, pedal, joystick, leader arm, pose stream, script."""
