"""A ROS 2 node that labels the clouds of a LiDAR as they arrive, with the photographs of the cameras around it.

    python examples/11_ros2_node.py MODEL /points /front/image_raw/compressed:/front/camera_info [...]

If the LiDAR is faster than the labelling, clouds are dropped and the newest one is labelled next. The node publishes
/labels: x, y, z, label and confidence of each point. Source ROS 2 first, for rclpy. Nothing else here needs it.
"""

import array
import contextlib
import sys
import threading
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue

import numpy as np

import ditr
from ditr.captures.clouds import cloud_scene
from ditr.captures.ros_cameras import calibration_of
from ditr.captures.ros_clouds import cloud_of
from ditr.captures.ros_frames import Frames, Transforms, TransformUnknown
from ditr.captures.ros_images import photograph


class Scans:
    """Turns messages into scenes: the newest cloud, and the newest photograph of each camera."""

    def __init__(self):
        self.images, self.infos, self.transforms, self.newest = {}, {}, Transforms(newest=100), Queue(maxsize=1)

    def on_transforms(self, message, static=False):
        for stamped in message.transforms:
            self.transforms.add_stamped(stamped, static=static)

    def on_cloud(self, message):
        scan = cloud_scene(Path(f"scan_{nanoseconds(message.header)}"), cloud_of("cloud", message))
        frames = Frames(self.transforms)
        views = [self.view(frames, message.header, name) for name in self.images if name in self.infos]
        with contextlib.suppress(Empty):
            self.newest.get_nowait()
        properties, views = {"header": message.header}, [view for view in views if view is not None]
        self.newest.put(replace(scan, views=views, up=(0.0, 0.0, 1.0), properties=properties))

    def view(self, frames, cloud, name):
        image, info = self.images[name], calibration_of(name, self.infos[name], rectified="rect" in name)
        source, target = cloud.frame_id, image.header.frame_id
        # The root frame compensates motion between the two times. Until it is known, nothing is compensated.
        for above, time in ((frames.above(source)[-1], nanoseconds(image.header)), (None, nanoseconds(cloud))):
            with contextlib.suppress(TransformUnknown):
                fixed = above or frames.common(source, target) or source
                pose = frames.between(source, nanoseconds(cloud), target, time, fixed)
                return ditr.View(name, info.camera, info.from_frame @ pose, photograph(name, image))
        return None


def nanoseconds(header):
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def labelled(prediction, cloud_type, field_type):
    """A message of these types with the points and their labels."""
    names, count = ("x", "y", "z", "label", "confidence"), len(prediction.label)
    rows = np.column_stack([prediction.scene.coord, prediction.label, prediction.confidence]).astype("<f4")
    fields = [field_type(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(names)]
    shape = {"height": 1, "width": count, "point_step": 20, "row_step": 20 * count}
    header, data = prediction.scene.properties["header"], array.array("B", rows.tobytes())
    return cloud_type(header=header, fields=fields, is_bigendian=False, data=data, is_dense=True, **shape)


def main(model, cloud, *cameras):
    try:
        import rclpy
    except ImportError:
        raise SystemExit("rclpy is missing: source ROS 2, for example `source /opt/ros/humble/setup.bash`") from None
    from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
    from tf2_msgs.msg import TFMessage

    rclpy.init()
    node, scans = rclpy.create_node("ditr"), Scans()
    newest, all_of = qos_profile_sensor_data, QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(TFMessage, "/tf_static", lambda m: scans.on_transforms(m, static=True), all_of)
    node.create_subscription(TFMessage, "/tf", scans.on_transforms, newest)
    for name, info in (camera.split(":") for camera in cameras):
        kind = CompressedImage if name.endswith("compressed") else Image
        node.create_subscription(kind, name, lambda m, name=name: scans.images.update({name: m}), newest)
        node.create_subscription(CameraInfo, info, lambda m, name=name: scans.infos.update({name: m}), newest)
    node.create_subscription(PointCloud2, cloud, scans.on_cloud, newest)
    threading.Thread(target=rclpy.spin, args=(node,), daemon=True).start()
    publisher = node.create_publisher(PointCloud2, "/labels", 1)
    for prediction in ditr.Segmenter.from_pretrained(model).stream(iter(scans.newest.get, None)):
        publisher.publish(labelled(prediction, PointCloud2, PointField))


if __name__ == "__main__":
    main(*sys.argv[1:])
